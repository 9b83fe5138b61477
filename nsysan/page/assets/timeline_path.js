// The critical path on a timeline: drawn over what the next step had to wait for, and a way along it.
const timelinePath = (view) => {
  const { report, hidden, state, x } = view;
  const { classes, whys } = report.path;
  const status = document.getElementById("path-status");

  // The first piece that ends after `time`; each begins where the one before it ends.
  const reaching = (time) => {
    const { pieces } = view.current;
    let low = 0;
    let high = pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pieces[middle].end <= time) low = middle + 1; else high = middle;
    }
    return low;
  };
  // An outline where there is room for one, else a line under the lane; and from lane to lane.
  const shape = (places) => {
    const { pieces } = view.current;
    const line = new Path2D();
    const joins = new Map();
    let run = null;
    const flush = () => {
      if (run) { line.moveTo(run.from, run.y); line.lineTo(Math.max(run.to, run.from + 1), run.y); }
      run = null;
    };
    for (let i = reaching(state.begin); i < pieces.length && pieces[i].begin <= state.end; i += 1) {
      const place = places.get(pieces[i].row);
      const before = i > 0 && places.get(pieces[i - 1].row);
      if (place && before && before !== place && pieces[i].begin >= state.begin) {
        const at = Math.round(x(pieces[i].begin));
        const ends = [before.y + before.height / 2, place.y + place.height / 2];
        const known = joins.get(at) || ends;
        joins.set(at, [Math.min(...ends, ...known), Math.max(...ends, ...known)]);
      }
      if (!place) { flush(); continue; }
      const left = Math.max(x(pieces[i].begin), view.layout.left - 4);
      const right = Math.min(x(pieces[i].end), view.layout.width + 4);
      if (right - left >= 6) {
        flush();
        line.rect(left + 1, place.y, right - left - 2, place.height);
        continue;
      }
      const y = place.y + place.height;
      if (run && run.y === y && left - run.to < 1) run.to = right;
      else { flush(); run = { y, from: left, to: right }; }
    }
    flush();
    for (const [at, [top, bottom]] of joins) { line.moveTo(at, top); line.lineTo(at, bottom); }
    return line;
  };
  const draw = (pen) => {
    if (hidden.has("path") || !view.current.pieces.length) return;
    const places = view.layout.placeOf;
    const line = shape(places);
    pen.strokeStyle = colour("--paper");
    pen.lineWidth = 4.5;
    pen.stroke(line);
    pen.strokeStyle = colour("--path");
    pen.lineWidth = 2;
    pen.stroke(line);
    const place = state.piece && places.get(state.piece.row);
    if (place) {
      const left = x(state.piece.begin);
      pen.lineWidth = 4;
      pen.strokeRect(left, place.y - 1, Math.max(x(state.piece.end) - left, 3), place.height + 2);
    }
    pen.lineWidth = 1;
  };

  const describe = (piece, ends) => {
    const { pieces } = view.current;
    const [lead, why] = whys[piece.why];
    const name = piece.name < 0 ? "" : `: ${lead}${report.names[piece.name]}`;
    const before = pieces[piece.number - 1];
    const from = before && before.row.rank !== piece.row.rank ? `, after rank ${before.row.rank}` : "";
    const where = `rank ${piece.row.rank}, ${piece.row.name}`;
    return `Critical path, piece ${piece.number + 1} of ${pieces.length}: ${classes[piece.kind].name}, ` +
      `${us(piece.end - piece.begin, 3)} \u00b5s on ${where}${from}${name}. ${why}.${ends ? " The path of this step ends here." : ""}`;
  };
  // The step along the path: from where one is, or from where one looks.
  const along = (by) => {
    const { pieces } = view.current;
    const now = state.piece;
    if (now && now.end > state.begin && now.begin < state.end) return now.number + by;
    const first = reaching(state.begin);
    return by > 0 ? first : Math.max(first, reaching(state.end - 1) - (reaching(state.end - 1) === pieces.length ? 1 : 0));
  };
  const follow = (by, look, shown) => {
    const { pieces, path, step } = view.current;
    if (!pieces.length) {
      status.textContent = `Step ${step} has no critical path to follow: ${path.untold}.`;
      return;
    }
    const wanted = along(by);
    const piece = pieces[Math.min(Math.max(wanted, 0), pieces.length - 1)];
    state.piece = piece;
    status.textContent = describe(piece, wanted !== piece.number);
    if (hidden.delete("path")) shown();
    // As near as before, unless the piece is then too small to be seen, or does not fit.
    const length = piece.end - piece.begin;
    const span = Math.min(Math.max(state.end - state.begin, length / 0.8), length / 0.004);
    const centre = (piece.begin + piece.end) / 2;
    look(centre - span / 2, centre + span / 2);
  };
  const forget = () => { state.piece = null; status.textContent = ""; };

  // Its ns by rank and class.
  const table = (number) => {
    if (view.current.step !== number || !view.current.pieces.length) return null;
    const { pieces, path } = view.current;
    const sums = new Map();
    for (const { begin, end, kind, row } of pieces) {
      if (!sums.has(row.rank)) sums.set(row.rank, classes.map(() => 0));
      sums.get(row.rank)[kind] += end - begin;
    }
    const used = classes.map((_, kind) => kind).filter((kind) => pieces.some((piece) => piece.kind === kind));
    const rows = [...sums].sort(([a], [b]) => a - b);
    const made = tableOf(
      `Critical path of step ${number}, \u00b5s: ${pieces.length} pieces, which sum to the period of rank ${path.home}`,
      ["rank", "path", ...used.map((kind) => classes[kind].name)],
      rows.map(([rank, ns]) => [`rank ${rank}`, us(ns.reduce((sum, one) => sum + one, 0), 3), ...used.map((kind) => us(ns[kind], 3))]),
      { id: "step-path" },
    );
    [...made.tBodies[0].rows].forEach((row, i) => { [row.dataset.rank] = rows[i]; });
    return made;
  };
  return { draw, follow, forget, table };
};
