// Pointer, touch and keys on a timeline, and what is told of the slice under the pointer.
const timelinePointer = (view, navigation, follow, redraw) => {
  const { report, stage, canvas, box, hidden, state, timeAt } = view;
  const { look, zoom, pan, reset, stepBy, writeAddress } = navigation;
  const tip = stage.querySelector(".tip");

  const sliceAt = (px, py) => {
    const place = view.layout.rows.find(({ y, height }) => py >= y - 1 && py <= y + height + 1);
    if (!place || px < view.layout.left) return null;
    if (place.row.counter) return { counter: place.row, time: timeAt(px) };
    const margin = timeAt(px + 2) - timeAt(px);
    const time = timeAt(px);
    let found = null;
    for (let i = firstReaching(place.row, time - margin); i < place.row.slices.length; i += 1) {
      const slice = place.row.slices[i];
      if (slice.begin > time + margin) break;
      if (slice.end < time - margin || hidden.has(report.lines[slice.line].id)) continue;
      const inside = slice.begin <= time && time < slice.end;
      if (!found || inside || slice.end - slice.begin > found.end - found.begin) found = slice;
      if (inside) break;
    }
    return found && { slice: found };
  };
  const partner = (slice, before) => {
    const at = slice.row.slices.indexOf(slice);
    const other = slice.row.slices[at + (before ? -1 : 1)];
    const meets = other && other.name === slice.name && (before ? other.end === slice.begin : slice.end === other.begin);
    return meets ? other : null;
  };
  const describe = ({ slice, counter, time }) => {
    if (counter) {
      let i = counter.time.findIndex((at) => at > time) - 1;
      if (i < -1) i = counter.time.length - 1;
      const value = counter.value[Math.max(i, 0)];
      return [counter.name, `${value.toLocaleString("en-US")} ${counter.unit} (peak of the step ${counter.peak.toLocaleString("en-US")})`, `rank ${counter.rank}`];
    }
    const line = report.lines[slice.line];
    const lines = [report.names[slice.name], `${line.name}: ${us(slice.end - slice.begin, 2)} \u00b5s, at ${us(slice.begin, 2)} \u00b5s`];
    if (line.cut === "before") {
      const then = partner(slice, false);
      if (then) lines.push(`waits ${us(slice.end - slice.begin, 2)} \u00b5s for the last rank, then moves data for ${us(then.end - then.begin, 2)} \u00b5s`);
    } else if (line.cut === "after") {
      const waited = partner(slice, true);
      if (waited && report.lines[waited.line].cut === "before") lines.push(`after waiting ${us(waited.end - waited.begin, 2)} \u00b5s for the last rank`);
    }
    const joined = view.current.launches.get(slice.launch);
    if (joined && line.id === "launch") lines.push(`launches ${joined.to.length === 1 ? report.names[joined.to[0].name] : `${new Set(joined.to.map((other) => `${other.name} ${other.begin}`)).size} operations`}`);
    else if (joined && joined.from) lines.push(`launched by ${report.names[joined.from.name]}, ${us(slice.begin - joined.from.begin, 1)} \u00b5s before`);
    const mark = view.current.marks.find((entry) => entry.row === slice.row && entry.time === slice.begin);
    if (mark) lines.push(`last to arrive at collective ${mark.collective}, ${us(mark.late, 2)} \u00b5s after the first`);
    lines.push(`rank ${slice.row.rank}, ${slice.row.name}`);
    return lines;
  };
  const hover = (px, py) => {
    const found = sliceAt(px, py);
    const changed = (found && found.slice) !== (state.hover && state.hover.slice);
    state.hover = found;
    tip.hidden = !found;
    if (found) {
      tip.replaceChildren(...describe(found).map((text, i) => create(i ? "p" : "b", text)));
      tip.style.left = `${Math.max(0, Math.min(px + 12, view.layout.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${py + 16}px`;
    }
    if (changed) redraw();
  };
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  const touches = new Map();
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [px] = at(event);
    touches.set(event.pointerId, px);
    const select = event.pointerType === "mouse" && !event.shiftKey;
    state.drag = { select, from: px, to: px, begin: state.begin, end: state.end };
    if (event.pointerType === "mouse") box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    const [px, py] = at(event);
    if (touches.size === 2 && touches.has(event.pointerId)) {
      const other = [...touches].find(([id]) => id !== event.pointerId)[1];
      const apart = Math.abs(touches.get(event.pointerId) - other);
      touches.set(event.pointerId, px);
      state.drag = null;
      if (apart > 5 && Math.abs(px - other) > 5) zoom(apart / Math.abs(px - other), timeAt((px + other) / 2));
      return;
    }
    if (!state.drag) { hover(px, py); return; }
    state.drag.to = px;
    if (state.drag.select) redraw();
    else {
      const by = ((state.drag.from - px) / (view.layout.width - view.layout.left)) * (state.drag.end - state.drag.begin);
      look(state.drag.begin + by, state.drag.end + by);
    }
  });
  const lift = (event) => {
    touches.delete(event.pointerId);
    const drag = state.drag;
    state.drag = null;
    if (!drag) return;
    if (drag.select && Math.abs(drag.to - drag.from) > 4) {
      const [from, to] = [drag.from, drag.to].sort((a, b) => a - b).map(timeAt);
      look(from, to);
    } else hover(...at(event));
    redraw();
  };
  box.addEventListener("pointerup", lift);
  box.addEventListener("pointercancel", lift);
  box.addEventListener("pointerleave", () => { if (!state.drag) { state.hover = null; tip.hidden = true; redraw(); } });
  box.addEventListener("dblclick", reset);
  box.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey && document.activeElement !== box) return;
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(Math.sign(event.deltaX || event.deltaY) * 0.1);
    else zoom(1.2 ** Math.sign(event.deltaY), timeAt(at(event)[0]));
  }, { passive: false });

  const actions = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), w: () => zoom(0.5), s: () => zoom(2),
    ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), a: () => pan(-0.2), d: () => pan(0.2),
    0: reset, Home: reset, "[": () => stepBy(-1), "]": () => stepBy(1),
    p: () => follow(1), P: () => follow(-1),
    Escape: () => { state.hover = null; tip.hidden = true; box.blur(); redraw(); },
  };
  box.addEventListener("keydown", (event) => {
    // Whatever Caps Lock says.
    const letter = event.key.toLowerCase() === "p";
    const action = actions[letter ? (event.shiftKey ? "P" : "p") : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  for (const button of stage.querySelectorAll("[data-key]")) {
    button.addEventListener("click", () => actions[button.dataset.key]());
  }
  const link = document.getElementById("link");
  link.addEventListener("click", async () => {
    writeAddress();
    // A file's address is of no use to others.
    await copyText(location.protocol === "file:" ? location.hash : location.href);
    link.textContent = "copied";
    setTimeout(() => { link.textContent = "copy link"; }, 1500);
  });
};
