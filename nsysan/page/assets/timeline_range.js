// A range of time: its length, its ledger on every rank (the lines sum to the length to the ns), and its kernels.
const timelineRange = (view, operations, navigation, { tell, seek, redraw }) => {
  const { report, state } = view;
  const panel = document.getElementById("range");
  const MOST = 40;
  let marked = null;

  // ns of each ledger line between two times on a rank: of what runs at once, the first line has it, the last the rest.
  const sweep = (rank, begin, end) => {
    const { claimed } = report;
    const sums = new Array(claimed + 1).fill(0);
    const edges = [];
    for (const row of (view.current.lanesOf.get(rank) || []).filter(view.isWork)) {
      for (let i = firstReaching(row, begin); i < row.slices.length && row.slices[i].begin < end; i += 1) {
        const slice = row.slices[i];
        if (slice.line >= claimed || slice.end <= begin || slice.end === slice.begin) continue;
        edges.push([Math.max(slice.begin, begin), slice.line, 1], [Math.min(slice.end, end), slice.line, -1]);
      }
    }
    edges.sort((a, b) => a[0] - b[0]);
    const open = new Array(claimed + 1).fill(0);
    open[claimed] = 1;
    let at = begin;
    for (const [time, line, by] of [...edges, [end, claimed, 0]]) {
      if (time > at) sums[open.findIndex((count) => count > 0)] += time - at;
      at = Math.max(at, time);
      open[line] += by;
    }
    return sums;
  };
  // The same of a step of which not all slices are here: its cells have it, and ranges begin and end with cells.
  const ofCells = (rank, begin, end) => {
    const { cells, span, windows } = view.current;
    const { claimed } = report;
    const sums = new Array(claimed + 1).fill(0);
    const [from, to] = [Math.max(Math.ceil(begin / cells.width), 0), Math.min(Math.ceil(end / cells.width), cells.count)];
    cells.rank.forEach((of, i) => {
      if (of !== rank) return;
      for (let cell = from; cell < to; cell += 1) sums[cells.line[i]] += cells.ns[i][cell];
    });
    const window = windows.find(([of]) => of === rank);
    const inside = window ? Math.max(Math.min(end, span, window[2]) - Math.max(begin, 0, window[1]), 0) : 0;
    sums[claimed] = inside - sums.reduce((sum, ns) => sum + ns, 0);
    return { sums, outside: end - begin - inside };
  };
  // A time, or where not all slices are here the nearest edge of a cell.
  const snapped = (time) => {
    const { cells, span } = view.current;
    if (!cells) return Math.round(time);
    return Math.min(Math.max(Math.round(time / cells.width) * cells.width, 0), span);
  };
  // In a step with a replay that was traced as one block, all that is busy is of that line, as in the ledger.
  const ledgerOf = (rank, begin, end) => {
    if (view.current.cells) return ofCells(rank, begin, end);
    const { claimed, lines } = report;
    const window = view.current.windows.find(([of]) => of === rank);
    const [from, to] = window ? [Math.max(begin, window[1]), Math.min(end, window[2])] : [end, end];
    const inside = Math.max(to - from, 0);
    const sums = inside ? sweep(rank, from, to) : new Array(claimed + 1).fill(0);
    const block = lines.findIndex((line) => line.block);
    if (inside && block >= 0 && sweep(rank, window[1], window[2])[block] > 0) {
      const busy = inside - sums[claimed];
      sums.fill(0, 0, claimed);
      sums[block] = busy;
    }
    return { sums, outside: end - begin - inside };
  };
  const kernelsOf = (begin, end) => {
    const sums = new Map();
    const shown = new Set(view.shownRanks());
    for (const row of view.current.rows) {
      if (!view.isWork(row) || !shown.has(row.rank)) continue;
      for (let i = firstReaching(row, begin); i < row.slices.length && row.slices[i].begin < end; i += 1) {
        const slice = row.slices[i];
        const ns = Math.min(slice.end, end) - Math.max(slice.begin, begin);
        if (ns <= 0) continue;
        if (!sums.has(slice.name)) sums.set(slice.name, { ns: 0, longest: 0, heads: new Set(), ranks: new Set() });
        const sum = sums.get(slice.name);
        sum.ns += ns;
        sum.heads.add(operations.head(slice));
        const { begin: first, end: last } = operations.whole(slice);
        sum.longest = Math.max(sum.longest, last - first);
        sum.ranks.add(row.rank);
      }
    }
    return [...sums].sort(([a, one], [b, other]) => other.ns - one.ns || a - b);
  };

  const ledgerTable = ({ begin, end }) => {
    const shown = view.shownRanks();
    const rows = shown.map((rank) => ledgerOf(rank, begin, end));
    const names = [...report.lines.slice(0, report.claimed).map(({ name }) => name), report.rest];
    const used = names.map((_, line) => line).filter((line) => rows.some(({ sums }) => sums[line] > 0));
    const beyond = rows.some(({ outside }) => outside > 0);
    return tableOf(
      "Ledger of the range by rank, \u00b5s: the lines sum to its length",
      ["rank", "range", ...used.map((line) => names[line]), ...(beyond ? ["not of this rank's step"] : [])],
      rows.map(({ sums, outside }, i) => [
        `rank ${shown[i]}`, us(end - begin, 3), ...used.map((line) => us(sums[line], 3)), ...(beyond ? [us(outside, 3)] : []),
      ]),
      { id: "range-ledger" },
    );
  };
  const kernelTable = ({ begin, end }) => {
    const all = kernelsOf(begin, end);
    const rest = all.slice(MOST);
    const rows = all.slice(0, MOST).map(([name, { ns, heads, ranks, longest }]) =>
      [report.names[name], String(heads.size), String(ranks.size), us(ns, 3), us(longest, 3)]);
    if (rest.length) rows.push([`${rest.length} more names`, String(rest.reduce((sum, [, { heads }]) => sum + heads.size, 0)), "", us(rest.reduce((sum, [, { ns }]) => sum + ns, 0), 3), ""]);
    const table = tableOf(
      "Operations in the range by name, of the ranks shown, \u00b5s: time inside the range, waiting included",
      ["name", "operations", "ranks", "sum in the range", "longest, whole"], rows, { id: "range-kernels" },
    );
    for (const row of table.rows) row.cells[0].classList.add("text", "wrap");
    // A name is a way to where else it ran.
    all.slice(0, MOST).forEach(([name], i) => {
      const button = create("button", report.names[name], { type: "button", class: "name", title: "find it in the step" });
      button.addEventListener("click", () => seek(report.names[name]));
      table.tBodies[0].rows[i].cells[0].replaceChildren(button);
    });
    return table;
  };
  const fill = () => {
    const { range } = state;
    panel.hidden = !range;
    const body = panel.querySelector("div");
    body.replaceChildren();
    if (!range) return;
    const length = range.end - range.begin;
    panel.querySelector("b").textContent = `Range of ${us(length, 3)} \u00b5s, from ${us(range.begin, 3)} to ${us(range.end, 3)} \u00b5s of step ${state.step}`;
    const { note, cells } = view.current;
    body.append(scrolled(ledgerTable(range)));
    if (cells) body.append(create("p", `Sums by name cannot be told: ${note} The ledger is exact, and ranges of this step begin and end at multiples of ${us(cells.width, 3)} \u00b5s.`, { class: "note" }));
    else body.append(scrolled(kernelTable(range)));
    offerCopies(body);
  };
  const set = (begin, end, quiet = false) => {
    const { first, span } = view.current;
    const [low, high] = [first - Math.round(0.2 * span), Math.round(1.2 * span)];
    const [from, to] = [begin, end].map((time) => Math.min(Math.max(snapped(time), low), high)).sort((a, b) => a - b);
    if (!Number.isFinite(from) || !Number.isFinite(to) || to <= from) return false;
    state.range = { begin: from, end: to };
    fill();
    redraw();
    navigation.writeAddress();
    if (!state.op || !quiet) tell(`Range of ${us(to - from, 3)} \u00b5s; its ledger is below the lanes`);
    return true;
  };
  const clear = () => {
    const had = Boolean(state.range) || marked !== null;
    state.range = null;
    marked = null;
    fill();
    redraw();
    return had;
  };
  // By keys: from the begin of an operation, or the left edge, to the end of one, or the right edge.
  const mark = (end) => {
    const { op, range } = state;
    const at = end ? (op ? operations.whole(op).end : state.end) : (op ? operations.whole(op).begin : state.begin);
    const other = end ? (marked && !marked.end ? marked.at : range && range.begin) : (marked && marked.end ? marked.at : range && range.end);
    if (other !== null && other !== undefined && (end ? other < at : at < other)) {
      marked = null;
      set(at, other);
      return;
    }
    marked = { end, at };
    tell(`Range ${end ? "ends" : "begins"} at ${us(at, 3)} \u00b5s: press ${end ? "i where it begins" : "o where it ends"}`);
  };
  const around = () => {
    if (state.op) { const { begin, end } = operations.whole(state.op); set(begin, end); } else set(state.begin, state.end);
  };

  panel.querySelector("[data-do=near]").addEventListener("click", () => {
    if (state.range) navigation.look(state.range.begin, state.range.end);
  });
  panel.querySelector("[data-do=clear]").addEventListener("click", () => { clear(); navigation.writeAddress(); });
  navigation.keepers.push({
    names: ["range"],
    write: () => (state.range ? [["range", `${(state.range.begin / 1e3).toFixed(3)}_${(state.range.end / 1e3).toFixed(3)}`]] : []),
    read: (wanted) => {
      const found = /^(-?\d{1,12}(?:\.\d{1,3})?)_(-?\d{1,12}(?:\.\d{1,3})?)$/.exec((wanted.get("range") || "").slice(0, 60));
      if (found) set(Number(found[1]) * 1e3, Number(found[2]) * 1e3, true);
    },
    forget: clear,
  });
  return { set, clear, mark, around, fill };
};
