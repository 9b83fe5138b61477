// What stays in sight above the lanes: the whole step small, with what of it is shown, and the axis.
const timelineHead = (view) => {
  const { stage, state, ranks, x } = view;
  const overview = stage.querySelector("#overview canvas");
  const axis = stage.querySelector("#axis canvas");
  const slices = timelineSlices(view);
  const TALL = 40;
  const AXIS = 20;
  const kept = document.createElement("canvas");
  let made = "";

  const sized = (canvas, height) => {
    const scale = window.devicePixelRatio || 1;
    const [width, tall] = [Math.round(view.layout.width * scale), Math.round(height * scale)];
    if (canvas.width !== width || canvas.height !== tall) Object.assign(canvas, { width, height: tall });
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, view.layout.width, height);
    return pen;
  };
  const ticks = () => {
    const raw = (state.end - state.begin) / Math.max(2, view.room() / 110);
    const power = 10 ** Math.floor(Math.log10(raw));
    const tick = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) || raw;
    const digits = Math.min(3, Math.max(0, 3 - Math.floor(Math.log10(tick))));
    const found = [];
    for (let time = Math.ceil(state.begin / tick) * tick || 0; time <= state.end && found.length < 100; time += tick) {
      found.push({ at: x(time), text: us(time || 0, digits) });
    }
    return found;
  };
  const drawAxis = () => {
    const pen = sized(axis, AXIS);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = colour("--soft");
    pen.strokeStyle = colour("--line");
    pen.textAlign = "left";
    if (!view.layout.narrow) pen.fillText("\u00b5s of the step", 4, AXIS / 2);
    pen.textAlign = "center";
    for (const { at, text } of ticks()) {
      pen.beginPath(); pen.moveTo(at, AXIS - 4); pen.lineTo(at, AXIS); pen.stroke();
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(at, view.layout.left + half), view.layout.width - half - 2), AXIS / 2 - 1);
    }
    const dragged = state.drag && state.drag.kind === "range" && [state.drag.from, state.drag.to].sort((a, b) => a - b);
    const range = dragged ? { begin: view.timeAt(dragged[0]), end: view.timeAt(dragged[1]) } : state.range;
    if (!range) return;
    const [from, to] = [Math.max(x(range.begin), view.layout.left), Math.min(x(range.end), view.layout.width)];
    if (to < from) return;
    const text = `${us(Math.round(range.end - range.begin), 3)} \u00b5s`;
    const wide = pen.measureText(text).width + 10;
    const at = Math.min(Math.max((from + to) / 2, view.layout.left + wide / 2), view.layout.width - wide / 2);
    pen.fillStyle = colour("--accent");
    pen.fillRect(from, AXIS - 3, Math.max(to - from, 1), 3);
    pen.fillRect(at - wide / 2, 1, wide, AXIS - 4);
    pen.fillStyle = colour("--paper");
    pen.fillText(text, at, AXIS / 2 - 1);
  };

  // The whole step, a strip a rank; made anew only when that looks otherwise.
  const scale = (time) => view.layout.left + (time / view.current.span) * view.room();
  const timeOf = (px) => ((px - view.layout.left) / view.room()) * view.current.span;
  const drawStrips = () => {
    const shown = view.shownRanks();
    const found = state.found ? state.found.text : "";
    const key = JSON.stringify([state.step, view.layout.width, shown, [...view.hidden], found, root.dataset.theme, window.devicePixelRatio]);
    if (key === made) return;
    made = key;
    const pen = sized(kept, TALL);
    const height = Math.min(7, Math.max(1, Math.floor((TALL - 4) / Math.max(shown.length, 1))));
    shown.slice(0, TALL - 4).forEach((rank, number) => {
      const y = 2 + number * height;
      for (const row of (view.current.lanesOf.get(rank) || []).filter(view.isWork)) {
        const place = { row, y, height: Math.max(height - 1, 1) };
        const all = { scale, from: 0, to: view.current.span };
        if (state.found) pen.globalAlpha = 0.25;
        slices(pen, place, all);
        pen.globalAlpha = 1;
        if (state.found) slices(pen, place, { ...all, only: state.found.is, least: 2 });
      }
    });
  };
  const drawOverview = () => {
    const pen = sized(overview, TALL);
    drawStrips();
    pen.drawImage(kept, 0, 0, view.layout.width, TALL);
    const { left, width } = view.layout;
    const clamp = (px) => Math.min(Math.max(px, left), width - 2);
    const [from, to] = [clamp(scale(state.begin)), clamp(scale(state.end))];
    pen.fillStyle = colour("--shade");
    pen.fillRect(left, 0, from - left, TALL);
    pen.fillRect(to, 0, width - to, TALL);
    if (state.range) {
      const [begin, end] = [clamp(scale(state.range.begin)), clamp(scale(state.range.end))];
      pen.fillStyle = colour("--accent");
      pen.fillRect(begin, TALL - 3, Math.max(end - begin, 2), 3);
    }
    if (state.op) {
      pen.fillStyle = colour("--ink");
      pen.fillRect(clamp(scale(state.op.begin)) - 1, 0, 2, TALL);
    }
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 1.5;
    pen.strokeRect(from, 0.75, Math.max(to - from, 2), TALL - 1.5);
    pen.fillStyle = colour("--ink");
    for (const at of [from, Math.max(to, from + 2)]) pen.fillRect(at - 1.5, TALL / 2 - 7, 3, 14);
    if (view.layout.narrow) return;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = colour("--soft");
    const share = Math.min(1, (state.end - state.begin) / view.current.span);
    pen.fillText(`step ${state.step}`, 4, TALL / 2 - 7);
    pen.fillText(share === 1 ? "whole" : `${(100 * share).toPrecision(2)} % shown`, 4, TALL / 2 + 8);
  };
  const draw = () => { drawOverview(); drawAxis(); };

  // Drag what is shown, or an edge of it; elsewhere it goes to where one presses.
  const follow = (look, undoable) => {
    const box = overview.parentElement;
    let held = null;
    const at = (event) => event.clientX - overview.getBoundingClientRect().left;
    const move = (event) => {
      if (!held) return;
      const by = timeOf(at(event)) - timeOf(held.px);
      const begin = held.edge > 0 ? held.begin : held.begin + by;
      const end = held.edge < 0 ? held.end : held.end + by;
      look(Math.min(begin, end), Math.max(begin, end), "overview");
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !view.layout || view.layout.width <= view.layout.left) return;
      const px = at(event);
      const [from, to] = [scale(state.begin), scale(state.end)];
      const near = (edge) => Math.abs(px - edge) < 5 && state.end - state.begin < view.current.span;
      const edge = near(from) ? -1 : near(to) ? 1 : 0;
      undoable();
      if (!edge && (px < from || px > to)) {
        const half = (state.end - state.begin) / 2;
        look(timeOf(px) - half, timeOf(px) + half, "overview");
      }
      held = { px, edge, begin: state.begin, end: state.end };
      capture(box, event);
    });
    box.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) box.addEventListener(name, () => { held = null; });
  };
  return { draw, ticks, follow };
};
// Events that no pointer stands behind any more cannot be held.
const capture = (element, event) => {
  try { element.setPointerCapture(event.pointerId); } catch { /* what follows comes without */ }
};
