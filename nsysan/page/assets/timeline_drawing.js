// What a timeline looks like: slices, counters, axis, names, and what belongs together.
const timelineDrawing = (view, path) => {
  const { report, pen, hidden, state, lineNumber, kindOf, x } = view;
  let requested = 0;

  const bar = (slice, y, height, left, right) => {
    pen.fillStyle = report.lines[slice.line].colour;
    pen.fillRect(left, y, Math.max(right - left, 1), height);
  };
  const caption = (slice, y, height, left, right) => {
    const from = Math.max(left, view.layout.left) + 4;
    const room = Math.min(right, view.layout.width) - from - 4;
    if (room < 28) return;
    const line = report.lines[slice.line];
    const text = line.captioned ? line.id : report.names[slice.name];
    const fits = Math.floor(room / 6.2);
    const shown = text.length > fits ? `${text.slice(0, fits - 1)}\u2026` : text;
    pen.fillStyle = line.ink;
    pen.fillText(shown, from, y + height / 2 + 0.5);
  };

  const drawSlices = ({ row, y, height }) => {
    let column = -1;
    let longest = null;
    const flush = () => {
      if (longest) bar(longest, y, height, column, column + 1);
      longest = null;
    };
    for (let i = firstReaching(row, state.begin); i < row.slices.length; i += 1) {
      const slice = row.slices[i];
      if (slice.begin > state.end) break;
      if (slice.end < state.begin || hidden.has(report.lines[slice.line].id)) continue;
      const left = Math.max(x(slice.begin), view.layout.left);
      const right = Math.min(x(slice.end), view.layout.width);
      if (right - left >= 1) {
        bar(slice, y, height, left, right - (right - left > 4 ? 0.5 : 0));
        if (height > SMALL - 1) caption(slice, y, height, left, right);
        continue;
      }
      // Below a pixel: of all that begin in it, the longest.
      const at = Math.floor(left);
      if (at !== column) { flush(); column = at; }
      if (!longest || slice.end - slice.begin > longest.end - longest.begin) longest = slice;
    }
    flush();
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

  const drawAxis = () => {
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--soft");
    pen.textAlign = "center";
    const span = state.end - state.begin;
    const raw = span / Math.max(2, (view.layout.width - view.layout.left) / 110);
    const power = 10 ** Math.floor(Math.log10(raw));
    const tick = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
    const digits = Math.max(0, 3 - Math.floor(Math.log10(tick)));
    for (let time = Math.ceil(state.begin / tick) * tick; time <= state.end; time += tick) {
      const at = x(time);
      pen.beginPath(); pen.moveTo(at, 0); pen.lineTo(at, view.layout.bottom); pen.stroke();
      pen.fillText(us(time, Math.min(digits, 3)), at, view.layout.bottom + 8);
    }
    pen.textAlign = "right";
    pen.fillText("\u00b5s since the first rank began the step", view.layout.width - 2, view.layout.bottom + 20);
    pen.textAlign = "left";
  };

  const drawLabels = () => {
    let rank = null;
    for (const { row, y, height } of view.layout.rows) {
      const first = row.rank !== rank;
      rank = row.rank;
      pen.fillStyle = state.rank === row.rank ? colour("--accent") : colour("--ink");
      pen.font = "600 11px system-ui, sans-serif";
      if (view.layout.narrow) {
        const names = () => view.layout.rows.filter((place) => place.row.rank === rank).map((place) => place.row.name);
        if (first) pen.fillText(`rank ${rank}: ${names().join(", ")}`, 4, y - SMALL / 2);
        continue;
      }
      if (first) pen.fillText(`rank ${rank}`, 4, y + height / 2);
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = colour("--soft");
      pen.textAlign = "right";
      pen.fillText(row.name.slice(0, 15), view.layout.left - 8, y + height / 2);
      pen.textAlign = "left";
    }
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
      const place = view.layout.rows.find((entry) => entry.row === mark.row);
      if (!place || mark.time < state.begin || mark.time > state.end) continue;
      const at = x(mark.time);
      // What is within the noise of a step is no culprit.
      const size = mark.late >= 0.01 * view.current.span ? 5.5 : 2.5;
      pen.beginPath();
      pen.moveTo(at - size, place.y - 2); pen.lineTo(at + size, place.y - 2); pen.lineTo(at, place.y - 2 + 1.8 * size);
      pen.closePath(); pen.fill(); pen.stroke();
    }
  };

  // What a call launched, and what launched an operation.
  const drawJoins = () => {
    const slice = state.hover && state.hover.slice;
    if (!slice) return;
    const place = (other) => view.layout.rows.find((entry) => entry.row === other.row);
    const outline = (other) => {
      const at = place(other);
      if (at) pen.strokeRect(x(other.begin), at.y, Math.max(x(other.end) - x(other.begin), 2), at.height);
    };
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 1.5;
    outline(slice);
    const joined = view.current.launches.get(slice.launch);
    if (joined && joined.from && !hidden.has("launch")) {
      const from = place(joined.from);
      for (const other of slice === joined.from ? joined.to.slice(0, 100) : [slice]) {
        const to = place(other);
        if (!from || !to) continue;
        pen.beginPath();
        pen.moveTo(x(joined.from.end), from.y + from.height);
        pen.lineTo(x(other.begin), to.y);
        pen.stroke();
      }
      outline(joined.from);
    }
    pen.lineWidth = 1;
  };

  const draw = () => {
    requested = 0;
    const started = performance.now();
    pen.clearRect(0, 0, view.layout.width, view.layout.height);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    if (state.rank !== null) {
      pen.fillStyle = colour("--chosen");
      for (const { row, y, height } of view.layout.rows) {
        if (row.rank === state.rank) pen.fillRect(0, y - 2, view.layout.width, height + 4);
      }
    }
    drawAxis();
    pen.save();
    pen.beginPath(); pen.rect(view.layout.left, 0, view.layout.width - view.layout.left, view.layout.bottom); pen.clip();
    drawBeyond();
    for (const place of view.layout.rows) {
      (place.row.counter ? drawCounter : drawSlices)(place);
      drawElsewhere(place);
    }
    path.draw();
    drawMarks();
    drawJoins();
    if (state.drag && state.drag.select) {
      pen.fillStyle = colour("--chosen");
      pen.fillRect(state.drag.from, 0, state.drag.to - state.drag.from, view.layout.bottom);
    }
    pen.restore();
    drawLabels();
    performance.measure("timeline", { start: started });
  };
  const redraw = () => { if (!requested) requested = requestAnimationFrame(draw); };
  return { draw, redraw };
};
