// A timeline's view: which step is shown, from when to when, and where its lanes lie on the canvas.
const ROW = 20;
const SMALL = 13;
const GAP = 8;
const AXIS = 26;
const us = (ns, digits = 1) =>
  (ns / 1e3).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
// The first slice that could reach `time`: slices of a lane may overlap by as much as the longest lasts.
const firstReaching = (row, time) => {
  let low = 0;
  let high = row.slices.length;
  const bound = time - row.longest;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row.slices[middle].begin < bound) low = middle + 1; else high = middle;
  }
  return low;
};

const timelineView = (report) => {
  const stage = document.getElementById("stage");
  const canvas = stage.querySelector("canvas");
  const box = canvas.parentElement;
  const pen = canvas.getContext("2d");
  const steps = new Map(report.steps.map((step) => [step.step, step]));
  const lineNumber = Object.fromEntries(report.lines.map((line, number) => [line.id, number]));
  const kinds = Object.keys(report.counters);
  const hidden = new Set();
  const state = { step: report.steps[0].step, rank: null, begin: 0, end: 1, hover: null, drag: null, piece: null };
  const view = { report, stage, canvas, box, pen, steps, lineNumber, hidden, state, current: null, layout: null };

  // A step as lanes of slices, made when first looked at.
  const prepare = (step) => {
    if (step.rows) return step;
    const rows = step.lanes.map(([rank, name]) => ({ rank, name, slices: [], longest: 0 }));
    step.launches = new Map();
    let begin = 0;
    for (let i = 0; i < step.lane.length; i += 1) {
      begin += step.begin[i];
      const row = rows[step.lane[i]];
      const slice = { begin, end: begin + step.length[i], line: step.line[i], name: step.name[i], launch: step.launch[i], row };
      row.slices.push(slice);
      row.longest = Math.max(row.longest, step.length[i]);
      if (slice.launch >= 0) {
        if (!step.launches.has(slice.launch)) step.launches.set(slice.launch, { from: null, to: [] });
        const joined = step.launches.get(slice.launch);
        if (slice.line === lineNumber.launch) joined.from = slice; else joined.to.push(slice);
      }
    }
    const counters = step.counters.map((counter) => ({ ...counter, counter: true }));
    step.rows = report.ranks.flatMap((rank) => [
      ...rows.filter((row) => row.rank === rank), ...counters.filter((row) => row.rank === rank),
    ]);
    step.first = Math.min(0, ...rows.map((row) => (row.slices.length ? row.slices[0].begin : 0)));
    let at = step.path.start;
    step.pieces = (step.path.length || []).map((ns, i) => {
      const row = rows[step.path.lane[i]];
      row.onPath = true;
      at += ns;
      return { begin: at - ns, end: at, row, kind: step.path.class[i], why: step.path.why[i], name: step.path.name[i], number: i };
    });
    step.marks = step.last.map(([lane, time, late, collective, name]) => ({ row: rows[lane], time, late, collective, name }));
    return step;
  };

  const visible = (row) => {
    if (row.counter) return !hidden.has(kindOf(row.name));
    return (row.onPath && !hidden.has("path")) || row.slices.some((slice) => !hidden.has(report.lines[slice.line].id));
  };
  const kindOf = (name) => kinds.find((kind) => name.split(" ").includes(kind)) || kinds[0];

  const arrange = () => {
    const width = box.clientWidth;
    const narrow = width < 640;
    const rows = [];
    let y = 4;
    let rank = null;
    for (const row of view.current.rows.filter(visible)) {
      if (row.rank !== rank) {
        y += rank === null ? 0 : GAP;
        if (narrow) y += SMALL;
        rank = row.rank;
      }
      const height = row.counter ? ROW + 6 : row.name.startsWith("stream") ? ROW : SMALL;
      rows.push({ row, y, height });
      y += height + 2;
    }
    view.layout = { rows, left: narrow ? 4 : 132, width, height: y + AXIS, bottom: y, narrow };
    const scale = window.devicePixelRatio || 1;
    canvas.style.height = `${view.layout.height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(view.layout.height * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
  };

  const x = (time) => view.layout.left + ((time - state.begin) / (state.end - state.begin)) * (view.layout.width - view.layout.left - 4);
  const timeAt = (px) => state.begin + ((px - view.layout.left) / (view.layout.width - view.layout.left - 4)) * (state.end - state.begin);
  return Object.assign(view, { prepare, kindOf, arrange, x, timeAt });
};
