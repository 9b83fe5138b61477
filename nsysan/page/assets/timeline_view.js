// A timeline's view: which step is shown, from when to when, and where its lanes lie on the canvases.
const ROW = 20;
const SMALL = 13;
const GAP = 8;
const formats = new Map();
const us = (ns, digits = 1) => {
  if (!formats.has(digits)) {
    formats.set(digits, new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return formats.get(digits).format(ns / 1e3);
};
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
  const canvas = stage.querySelector("#canvas canvas");
  const box = canvas.parentElement;
  const steps = new Map(report.steps.map((step) => [step.step, step]));
  const lineNumber = Object.fromEntries(report.lines.map((line, number) => [line.id, number]));
  const kinds = Object.keys(report.counters);
  const hidden = new Set();
  const state = {
    step: report.steps[0].step, rank: null, begin: 0, end: 1, hover: null, drag: null, piece: null,
    op: null, pinned: false, range: null, found: null,
  };
  // Who is late comes first.
  const order = [...report.ranks].sort((a, b) => (b === report.late) - (a === report.late));
  const ranks = { order, top: new Set(), away: new Set(), folded: new Set() };
  // Two canvases with one system of coordinates: lanes that stay in sight lie above the others.
  const panes = [canvas, stage.querySelector("#top-lanes canvas")].map((drawn) =>
    ({ canvas: drawn, pen: drawn.getContext("2d"), box: drawn.parentElement, from: 0, to: 0 }));
  const view = { report, stage, canvas, box, panes, pen: panes[0].pen, steps, lineNumber, hidden, state, ranks, current: null, layout: null };
  const isWork = (row) => !row.counter && row.name.startsWith("stream");

  const join = (launches, slice) => {
    if (slice.launch < 0) return;
    if (!launches.has(slice.launch)) launches.set(slice.launch, { from: null, to: [] });
    const joined = launches.get(slice.launch);
    if (slice.line === lineNumber.launch) joined.from = slice; else joined.to.push(slice);
  };
  // A step as lanes of slices, made when first looked at.
  const prepare = (step) => {
    if (step.rows) return step;
    const rows = step.lanes.map(([rank, name]) => ({ rank, name, slices: [], longest: 0 }));
    Object.assign(step, { launches: new Map(), calls: new Map(), slices: [], summaries: new Map() });
    for (let i = 0; i < step.lane.length; i += 1) {
      const begin = step.begin[i];
      const row = rows[step.lane[i]];
      const slice = {
        number: i, begin, end: begin + step.length[i], line: step.line[i], name: step.name[i], launch: step.launch[i],
        fact: step.fact[i], call: step.call[i], whom: step.whom[i], row, at: row.slices.length,
      };
      step.slices.push(slice);
      row.slices.push(slice);
      row.longest = Math.max(row.longest, step.length[i]);
      join(step.launches, slice);
      if (slice.call < 0) continue;
      if (!step.calls.has(slice.call)) step.calls.set(slice.call, { number: slice.call, slices: [], last: null, late: 0 });
      step.calls.get(slice.call).slices.push(slice);
    }
    const counters = step.counters.map((counter) => ({ ...counter, counter: true }));
    step.rows = rows;
    step.lanesOf = new Map(report.ranks.map((rank) => [rank, [
      ...rows.filter((row) => row.rank === rank), ...counters.filter((row) => row.rank === rank),
    ]]));
    step.first = Math.min(0, ...rows.map((row) => (row.slices.length ? row.slices[0].begin : 0)));
    let at = step.path.start;
    step.pieces = (step.path.length || []).map((ns, i) => {
      const row = rows[step.path.lane[i]];
      row.onPath = true;
      at += ns;
      return { begin: at - ns, end: at, row, kind: step.path.class[i], why: step.path.why[i], name: step.path.name[i], number: i };
    });
    step.marks = step.last.map(([lane, time, late, collective, name]) => ({ row: rows[lane], time, late, collective, name }));
    for (const mark of step.marks) {
      const call = step.calls.get(mark.collective);
      if (!call) continue;
      call.late = mark.late;
      call.last = call.slices.find((slice) => slice.row === mark.row) || null;
    }
    return step;
  };

  const visible = (row) => {
    if (row.counter) return !hidden.has(kindOf(row.name));
    return (row.onPath && !hidden.has("path")) || row.slices.some((slice) => !hidden.has(report.lines[slice.line].id));
  };
  const kindOf = (name) => kinds.find((kind) => name.split(" ").includes(kind)) || kinds[0];

  // The streams of a rank that is collapsed, as one lane.
  const summary = (rank) => {
    const { summaries, lanesOf } = view.current;
    if (!summaries.has(rank)) {
      const work = lanesOf.get(rank).filter(isWork);
      const slices = work.flatMap((row) => row.slices).sort((a, b) => a.begin - b.begin || a.line - b.line);
      const longest = work.reduce((most, row) => Math.max(most, row.longest), 0);
      summaries.set(rank, { rank, name: "streams", slices, longest, whole: true });
    }
    return summaries.get(rank);
  };
  // Those that are shown, with those that stay in sight first.
  const shownRanks = () => {
    const shown = ranks.order.filter((rank) => !ranks.away.has(rank));
    return [...shown.filter((rank) => ranks.top.has(rank)), ...shown.filter((rank) => !ranks.top.has(rank))];
  };

  const resize = (pane, from, to, width) => {
    const scale = window.devicePixelRatio || 1;
    Object.assign(pane, { from, to });
    pane.canvas.style.height = `${to - from}px`;
    pane.canvas.width = Math.round(width * scale);
    pane.canvas.height = Math.round((to - from) * scale);
  };
  const arrange = () => {
    const width = Math.max(box.clientWidth, 0);
    const narrow = width < 640;
    const placeOf = new Map();
    const rows = [];
    const heads = [];
    let y = 4;
    let split = 0;
    for (const rank of shownRanks()) {
      const folded = ranks.folded.has(rank);
      const own = view.current.lanesOf.get(rank) || [];
      const shown = folded ? [summary(rank)] : own.filter(visible);
      if (!shown.length) continue;
      if (!ranks.top.has(rank) && !split && rows.some(({ row }) => ranks.top.has(row.rank))) { split = y + 4; y = split + 4; }
      else if (rows.length) y += GAP;
      if (narrow) y += ROW;
      const top = y;
      for (const row of shown) {
        const height = row.counter ? ROW + 6 : folded || isWork(row) ? ROW : SMALL;
        const place = { row, y, height };
        rows.push(place);
        placeOf.set(row, place);
        if (folded) for (const other of own.filter(isWork)) placeOf.set(other, place);
        y += height + 2;
      }
      heads.push({ rank, y: narrow ? top - ROW : top, bottom: y, pinned: ranks.top.has(rank) });
    }
    if (heads.length && heads.every(({ pinned }) => pinned)) split = y + 4;
    const bottom = Math.max(y, split, rows.length ? 0 : ROW) + 4;
    view.layout = { rows, heads, placeOf, split, left: narrow ? 4 : 132, width, height: bottom, bottom, narrow };
    resize(panes[0], split, bottom, width);
    resize(panes[1], 0, split, width);
    panes[1].box.hidden = split === 0;
  };

  const room = () => Math.max(view.layout.width - view.layout.left - 4, 1);
  const x = (time) => view.layout.left + ((time - state.begin) / (state.end - state.begin)) * room();
  const timeAt = (px) => state.begin + ((px - view.layout.left) / room()) * (state.end - state.begin);
  return Object.assign(view, { prepare, kindOf, arrange, x, timeAt, room, isWork, shownRanks });
};
