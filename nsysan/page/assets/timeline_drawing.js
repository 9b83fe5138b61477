// What a timeline looks like: slices, counters, lanes' names, what was found, and what belongs together.
const timelineDrawing = (view, path, operations, head) => {
  const { report, hidden, state, kindOf, x } = view;
  const slices = timelineSlices(view);
  let requested = 0;
  let pen = view.pen;

  const drawSlices = (place) => {
    const seen = { scale: x, from: state.begin, to: state.end };
    slices(pen, place, { ...seen, captions: place.height > SMALL - 1 });
    if (!state.found) return;
    // What was not searched for steps back.
    pen.globalAlpha = 0.72;
    pen.fillStyle = colour("--paper");
    pen.fillRect(view.layout.left, place.y, view.layout.width - view.layout.left, place.height);
    pen.globalAlpha = 1;
    slices(pen, place, { ...seen, only: state.found.is, least: 2, captions: place.height > SMALL - 1 });
    const under = { ...place, y: place.y + place.height, height: 2 };
    slices(pen, under, { ...seen, only: state.found.is, least: 2, paint: colour("--ink") });
  };

  // A share is drawn of 100 %, what has another unit of its peak; a value holds until the next sample.
  const drawCounter = ({ row, y, height }) => {
    const top = row.unit === "%" ? Math.max(row.peak, 100) : Math.max(row.peak, 1);
    const base = y + height;
    const level = (value) => base - 1 - (height - 3) * (value / top);
    const place = (time) => Math.min(Math.max(x(time), view.layout.left), view.layout.width);
    pen.fillStyle = report.counters[kindOf(row.name)];
    for (let i = 0; i + 1 < row.time.length; i += 1) {
      const left = place(row.time[i]);
      const right = place(row.time[i + 1]);
      if (right > left) pen.fillRect(left, level(row.value[i]), right - left, base - level(row.value[i]));
    }
    pen.strokeStyle = colour("--line");
    pen.beginPath(); pen.moveTo(view.layout.left, base); pen.lineTo(view.layout.width, base); pen.stroke();
  };

  // What lies before or after a rank's own step is not drawn: shaded, so that it is not taken for idle time.
  const drawBeyond = () => {
    pen.font = "11px system-ui, sans-serif";
    for (const [rank, begin, end] of view.current.windows) {
      const places = view.layout.rows.filter(({ row }) => row.rank === rank && row.name.startsWith("stream"));
      for (const { y, height } of places) {
        for (const [from, to, name] of [[state.begin, begin, "step before"], [end, state.end, "next step"]]) {
          const left = Math.max(x(from), view.layout.left);
          const right = Math.min(x(to), view.layout.width);
          if (right - left < 1) continue;
          pen.fillStyle = colour("--beyond");
          pen.fillRect(left, y, right - left, height);
          if (right - left < 90) continue;
          pen.fillStyle = colour("--soft");
          pen.fillText(`${name}, not drawn`, left + 4, y + height / 2 + 0.5);
        }
      }
    }
  };

  const drawGrid = () => {
    pen.strokeStyle = colour("--line");
    pen.beginPath();
    for (const { at } of head.ticks()) { pen.moveTo(at, 0); pen.lineTo(at, view.layout.bottom); }
    pen.stroke();
  };

  // The ranks' own names are elements, which can be pressed.
  const drawLabels = () => {
    if (view.layout.narrow) return;
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = colour("--soft");
    pen.textAlign = "right";
    for (const { row, y, height } of view.layout.rows) pen.fillText(row.name.slice(0, 15), view.layout.left - 8, y + height / 2);
    pen.textAlign = "left";
  };

  // Calls and ranges of the host run ahead of the GPU: say where they are, if out of sight.
  const drawElsewhere = ({ row, y, height }) => {
    if (row.counter || !row.slices.length) return;
    const before = row.slices[0].begin + row.longest < state.begin && row.slices[row.slices.length - 1].end < state.begin;
    const after = row.slices[0].begin > state.end;
    if (!before && !after) return;
    pen.fillStyle = colour("--soft");
    pen.textAlign = before ? "left" : "right";
    const by = before ? state.begin - row.slices[row.slices.length - 1].end : row.slices[0].begin - state.end;
    // Calls for this step that end before it begins: the host is ahead of its GPU.
    const what = row.name === "launches" ? "last call" : "ends";
    const text = before ? `\u25c2 ${what} ${us(by, 0)} \u00b5s before: host is ahead` : `begins ${us(by, 0)} \u00b5s after \u25b8`;
    pen.fillText(text, before ? view.layout.left + 3 : view.layout.width - 6, y + height / 2);
    pen.textAlign = "left";
  };

  const drawMarks = () => {
    if (hidden.has("last")) return;
    pen.fillStyle = colour("--ink");
    pen.strokeStyle = colour("--paper");
    for (const mark of view.current.marks) {
      const place = view.layout.placeOf.get(mark.row);
      if (!place || mark.time < state.begin || mark.time > state.end) continue;
      const at = x(mark.time);
      // What is within the noise of a step is no culprit.
      const size = mark.late >= 0.01 * view.current.span ? 5.5 : 2.5;
      pen.beginPath();
      pen.moveTo(at - size, place.y - 2); pen.lineTo(at + size, place.y - 2); pen.lineTo(at, place.y - 2 + 1.8 * size);
      pen.closePath(); pen.fill(); pen.stroke();
    }
  };

  const outline = (slice, width) => {
    const at = view.layout.placeOf.get(slice.row);
    if (!at) return;
    const { begin, end } = operations.whole(slice);
    const left = Math.max(x(begin), view.layout.left - 4);
    const right = Math.min(x(end), view.layout.width + 4);
    if (right < left) return;
    pen.strokeStyle = colour("--paper");
    pen.lineWidth = width + 2;
    pen.strokeRect(left - 0.5, at.y, Math.max(right - left + 1, 3), at.height);
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = width;
    pen.strokeRect(left - 0.5, at.y, Math.max(right - left + 1, 3), at.height);
  };
  // What a call launched, and what launched an operation.
  const drawJoins = (slice) => {
    const place = (other) => view.layout.placeOf.get(other.row);
    const joined = view.current.launches.get(slice.launch);
    if (joined && joined.from && !hidden.has("launch")) {
      const from = place(joined.from);
      pen.strokeStyle = colour("--ink");
      pen.lineWidth = 1.5;
      for (const other of slice === joined.from ? joined.to.slice(0, 100) : [slice]) {
        const to = place(other);
        if (!from || !to || from === to) continue;
        pen.beginPath();
        pen.moveTo(x(joined.from.end), from.y + from.height);
        pen.lineTo(x(other.begin), to.y);
        pen.stroke();
      }
      outline(joined.from, 1);
    }
    pen.lineWidth = 1;
  };
  // From those that wait for a call to the one that arrived last.
  const drawWaiting = (slice) => {
    const call = operations.callOf(slice);
    const last = call && call.last;
    const to = last && view.layout.placeOf.get(last.row);
    if (!to) return;
    pen.strokeStyle = colour("--ink");
    pen.setLineDash([3, 3]);
    const at = x(last.begin);
    for (const other of call.slices) {
      const from = view.layout.placeOf.get(other.row);
      if (!from || from === to || at < view.layout.left) continue;
      pen.beginPath(); pen.moveTo(at, from.y + from.height / 2); pen.lineTo(at, to.y + to.height / 2); pen.stroke();
    }
    pen.setLineDash([]);
  };
  const drawRange = () => {
    const dragged = state.drag && state.drag.kind !== "pan" && [state.drag.from, state.drag.to].sort((a, b) => a - b);
    const [from, to] = dragged || (state.range ? [x(state.range.begin), x(state.range.end)] : [0, 0]);
    if (!dragged && !state.range) return;
    pen.fillStyle = colour("--chosen");
    pen.fillRect(from, 0, to - from, view.layout.bottom);
    if (dragged && state.drag.kind === "zoom") return;
    pen.fillStyle = colour("--accent");
    for (const at of [from, to]) pen.fillRect(at - 0.75, 0, 1.5, view.layout.bottom);
  };

  const drawPane = (pane) => {
    pen = pane.pen;
    const scale = window.devicePixelRatio || 1;
    pen.setTransform(scale, 0, 0, scale, 0, -pane.from * scale);
    pen.clearRect(0, pane.from, view.layout.width, pane.to - pane.from);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const own = view.layout.rows.filter(({ y }) => y >= pane.from && y < pane.to);
    if (state.rank !== null) {
      pen.fillStyle = colour("--chosen");
      for (const { row, y, height } of own) {
        if (row.rank === state.rank) pen.fillRect(0, y - 2, view.layout.width, height + 4);
      }
    }
    drawGrid();
    pen.save();
    pen.beginPath(); pen.rect(view.layout.left, pane.from, view.layout.width - view.layout.left, pane.to - pane.from); pen.clip();
    drawBeyond();
    for (const place of own) {
      (place.row.counter ? drawCounter : drawSlices)(place);
      drawElsewhere(place);
    }
    path.draw(pen);
    drawMarks();
    const pointed = (state.hover && state.hover.slice) || state.op;
    if (state.op) { drawWaiting(state.op); outline(state.op, 2); }
    if (pointed) { if (pointed !== state.op) outline(pointed, 1); drawJoins(pointed); }
    drawRange();
    pen.restore();
    drawLabels();
  };
  const draw = () => {
    requested = 0;
    if (view.layout.width <= view.layout.left + 4) return;
    const started = performance.now();
    head.draw();
    for (const pane of view.panes) if (pane.to > pane.from) drawPane(pane);
    performance.measure("timeline", { start: started });
  };
  const redraw = () => { if (!requested) requested = requestAnimationFrame(draw); };
  return { draw, redraw };
};
