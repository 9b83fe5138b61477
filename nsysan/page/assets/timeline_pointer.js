// Pointer, touch and wheel on a timeline, and what is told of the slice under the pointer.
const timelinePointer = (view, operations, navigation, cursor, range, redraw) => {
  const { stage, box, panes, state, timeAt } = view;
  const { look, zoom, pan, reset } = navigation;
  const tip = stage.querySelector(".tip");
  const NEAR = 4;

  const leave = () => {
    if (!state.hover && tip.hidden) return;
    state.hover = null;
    tip.hidden = true;
    redraw();
  };
  const hover = (px, py, pane) => {
    const found = operations.sliceAt(px, py);
    const changed = (found && found.slice) !== (state.hover && state.hover.slice);
    state.hover = found;
    tip.hidden = !found;
    if (found) {
      tip.replaceChildren(...operations.describe(found).map((text, i) => create(i ? "p" : "b", text)));
      const offset = pane.canvas.getBoundingClientRect().top - tip.parentElement.getBoundingClientRect().top - pane.from;
      tip.style.left = `${Math.max(0, Math.min(px + 12, view.layout.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${py + offset + 16}px`;
    }
    if (changed) redraw();
  };
  const at = (event, pane) => {
    const frame = pane.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top + pane.from];
  };
  const touches = new Map();
  const ends = () => { state.drag = null; touches.clear(); redraw(); };
  const down = (event, pane) => {
    if (event.button !== 0 || !view.layout) return;
    const [px, py] = at(event, pane);
    if (!Number.isFinite(px)) return;
    const mouse = event.pointerType === "mouse";
    if (!mouse) touches.set(event.pointerId, px);
    const kind = event.shiftKey ? "range" : mouse && !event.altKey ? "zoom" : "pan";
    state.drag = { kind, id: event.pointerId, from: px, to: px, y: py, begin: state.begin, end: state.end, moved: false };
    if (mouse) capture(pane.box, event);
  };
  const pinch = (event, px) => {
    const other = [...touches].find(([id]) => id !== event.pointerId);
    const apart = Math.abs(touches.get(event.pointerId) - other[1]);
    touches.set(event.pointerId, px);
    state.drag = null;
    if (apart > 5 && Math.abs(px - other[1]) > 5) zoom(apart / Math.abs(px - other[1]), timeAt((px + other[1]) / 2), "pinch");
  };
  const move = (event, pane) => {
    const [px, py] = at(event, pane);
    if (!Number.isFinite(px) || !Number.isFinite(py)) return;
    if (touches.size > 1 && touches.has(event.pointerId)) { pinch(event, px); return; }
    const { drag } = state;
    if (!drag) { hover(px, py, pane); return; }
    drag.to = Math.min(Math.max(px, view.layout.left), Math.max(view.layout.width, view.layout.left));
    drag.moved = drag.moved || Math.abs(px - drag.from) > NEAR;
    if (drag.kind !== "pan") { redraw(); return; }
    if (!drag.moved) return;
    const by = ((drag.from - px) / view.room()) * (drag.end - drag.begin);
    look(drag.begin + by, drag.end + by, `drag ${drag.id}`);
  };
  // What was pressed and let go at one place is a click.
  const click = (drag) => {
    const found = operations.sliceAt(drag.from, drag.y);
    if (found && found.slice) {
      tip.hidden = true;
      cursor.choose(found.slice, { pinned: true, move: false });
    } else if (state.op && drag.from >= view.layout.left) { cursor.clear(); navigation.writeAddress(); }
  };
  const lift = (event) => {
    touches.delete(event.pointerId);
    const { drag } = state;
    state.drag = null;
    if (!drag) return;
    redraw();
    if (event.type === "pointercancel") return;
    if (!drag.moved) { click(drag); return; }
    if (drag.kind === "pan") return;
    const [from, to] = [drag.from, drag.to].sort((a, b) => a - b).map((px) => timeAt(Math.max(px, view.layout.left)));
    if (drag.kind === "range") range.set(from, to); else look(from, to);
  };
  const wheel = (event, pane) => {
    const { deltaX, deltaY } = event;
    if (!Number.isFinite(deltaX) || !Number.isFinite(deltaY)) return;
    const sideways = Math.abs(deltaX) > Math.abs(deltaY);
    const zooms = (event.ctrlKey || event.metaKey) && !sideways;
    if (!zooms && !event.shiftKey && !sideways) return;
    event.preventDefault();
    const [px] = at(event, pane);
    if (zooms) { if (deltaY) zoom(Math.exp(Math.min(Math.max(deltaY, -120), 120) * 0.0018), timeAt(px), "wheel"); }
    else if (deltaX || deltaY) pan(Math.min(Math.max((sideways ? deltaX : deltaY) / view.room(), -0.25), 0.25), "wheel pan");
  };
  for (const pane of panes) {
    const on = (name, act) => pane.box.addEventListener(name, (event) => { if (view.layout) act(event, pane); });
    on("pointerdown", down);
    on("pointermove", move);
    on("pointerup", lift);
    on("pointercancel", lift);
    on("pointerleave", () => { if (!state.drag) leave(); });
    on("dblclick", (event) => {
      if (at(event, pane)[0] >= view.layout.left) reset();
    });
    pane.box.addEventListener("wheel", (event) => { if (view.layout) wheel(event, pane); }, { passive: false });
  }
  panes[1].box.addEventListener("pointerdown", () => box.focus({ preventScroll: true }));
  // A window that is left in the middle of a drag never hears of its end.
  window.addEventListener("blur", ends);
  return { leave };
};
