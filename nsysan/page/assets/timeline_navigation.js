// Where in the timeline one is: the address tells it, #step=17&rank=3&from=120&to=180 (us), and what each part keeps.
const timelineNavigation = (view, path, redraw, arrange) => {
  const { report, box, steps, state } = view;
  const tip = view.stage.querySelector(".tip");
  const status = document.getElementById("timeline-status");
  const chooseStep = document.getElementById("step");
  const chooseRank = document.getElementById("rank");
  // Each has write(), the names and values in the address; read(wanted), where one is followed; forget(), with a step.
  const keepers = [];
  // No address is longer.
  const LONGEST = 4_000;

  // Browsers refuse addresses that change hundreds of times a minute.
  let spare = 40;
  let counted = 0;
  let later = 0;
  const replace = () => {
    clearTimeout(later);
    later = 0;
    const parts = [`step=${state.step}`];
    if (state.rank !== null) parts.push(`rank=${state.rank}`);
    if (state.begin !== 0 || state.end !== view.current.span) {
      parts.push(`from=${(state.begin / 1e3).toFixed(3)}`, `to=${(state.end / 1e3).toFixed(3)}`);
    }
    for (const { write } of keepers) for (const [name, value] of write()) parts.push(`${name}=${encodeURIComponent(value)}`);
    history.replaceState(null, "", `#${parts.join("&")}`);
  };
  const writeAddress = () => {
    const now = performance.now();
    spare = Math.min(40, spare + (now - counted) / 300);
    counted = now;
    if (spare >= 1) { spare -= 1; replace(); } else if (!later) later = setTimeout(replace, 600);
  };

  // What one looked at before, to come back to; kind: what goes on in many small pieces counts once.
  const seen = [];
  let last = "";
  const remember = () => {
    const top = seen[seen.length - 1];
    const { step, begin, end } = state;
    if (!top || top.step !== step || top.begin !== begin || top.end !== end) seen.push({ step, begin, end });
    if (seen.length > 200) seen.shift();
  };
  const clamped = (begin, end) => {
    const { span: step, first } = view.current;
    const span = Math.min(Math.max(end - begin, 100), (step - first) * 1.5);
    const from = Math.min(Math.max((begin + end - span) / 2, first - 0.2 * step), 1.2 * step - span);
    return [Math.round(from), Math.round(from + span)];
  };
  const look = (begin, end, kind = "") => {
    if (!Number.isFinite(begin) || !Number.isFinite(end)) return;
    const [from, to] = clamped(begin, end);
    if (from === state.begin && to === state.end) { redraw(); return; }
    if (!kind || kind !== last) remember();
    last = kind;
    state.begin = from;
    state.end = to;
    box.dataset.begin = state.begin;
    box.dataset.end = state.end;
    redraw();
    writeAddress();
  };
  const undo = () => {
    for (let before = seen.pop(); before; before = seen.pop()) {
      if (before.step === state.step && before.begin === state.begin && before.end === state.end) continue;
      const { length } = seen;
      if (before.step !== state.step) show(before.step, state.rank);
      look(before.begin, before.end);
      seen.length = length;
      last = "";
      writeAddress();
      return true;
    }
    return false;
  };
  const zoom = (factor, at = (state.begin + state.end) / 2, kind = "") =>
    look(at - (at - state.begin) * factor, at + (state.end - at) * factor, kind);
  const pan = (share, kind = "pan") => {
    const by = share * (state.end - state.begin);
    look(state.begin + by, state.end + by, kind);
  };
  const reset = () => look(0, view.current.span);

  const ledgerOf = (number) => {
    const { step, rank, values, names } = report.ledger;
    const rows = [];
    step.forEach((of, i) => {
      if (of === number) rows.push([rank[i], values.map((column) => column[i])]);
    });
    const excluded = report.ledger.excluded[number];
    const table = tableOf(
      `Ledger of step ${number} (${report.ledger.labels[number] || ""}), \u00b5s${excluded ? `; not in the medians: ${excluded}` : ""}`,
      ["rank", ...names],
      rows.map(([of, figures]) => [`rank ${of}`, ...figures.map((figure) => (figure === null ? "-" : us(figure)))]),
    );
    [...table.tBodies[0].rows].forEach((row, i) => { row.dataset.rank = rows[i][0]; });
    const holder = document.getElementById("step-ledger");
    holder.replaceChildren(scrolled(table));
    const along = path.table(number);
    if (along) holder.append(scrolled(along));
    offerCopies(holder);
    return rows.length;
  };
  const markRank = () => {
    chooseRank.value = state.rank === null ? "" : String(state.rank);
    for (const row of document.querySelectorAll("tr[data-rank]")) {
      row.classList.toggle("chosen", Number(row.dataset.rank) === state.rank);
    }
  };
  const say = (number, rank) => {
    const step = steps.get(number);
    const known = ledgerOf(number);
    if (step) {
      const absent = rank !== null && !report.ranks.includes(rank);
      status.textContent = [absent ? `There is no rank ${rank} in this report.` : "", step.note].join(" ").trim();
    }
    else if (known) {
      status.textContent = `Step ${number} has no timeline in this file (${steps.size} steps have); its ledger is below, the timeline shows step ${state.step}.`;
    } else if (number >= 0 && number < report.ledger.count) {
      status.textContent = `Step ${number} is not in this file, which would be too large; the JSON document has its figures.`;
    } else status.textContent = `There is no step ${Number.isNaN(number) ? "of that number" : number} in this report; the timeline shows step ${state.step}.`;
  };
  const show = (number, rank, from, to) => {
    if (steps.has(number)) state.step = number;
    view.current = view.prepare(steps.get(state.step));
    state.rank = report.ranks.includes(rank) ? rank : null;
    state.hover = null;
    tip.hidden = true;
    path.forget();
    for (const { forget } of keepers) forget();
    chooseStep.value = String(state.step);
    markRank();
    arrange();
    say(number, rank);
    box.dataset.step = state.step;
    [state.begin, state.end] = Number.isFinite(from) && Number.isFinite(to) && to > from ? clamped(from, to) : [0, view.current.span];
    box.dataset.begin = state.begin;
    box.dataset.end = state.end;
    redraw();
  };

  const followAddress = () => {
    const hash = location.hash.slice(1);
    const wanted = new URLSearchParams(hash.length > LONGEST ? "" : hash);
    const known = ["step", "rank", ...keepers.flatMap(({ names }) => names)];
    if (!known.some((name) => wanted.has(name))) return false;
    const number = (name) => (wanted.has(name) ? Number(wanted.get(name).slice(0, 30) || NaN) : NaN);
    if (view.current) remember();
    show(wanted.has("step") ? number("step") : state.step, wanted.has("rank") ? number("rank") : null,
      number("from") * 1e3, number("to") * 1e3);
    for (const { read } of keepers) read(wanted);
    document.getElementById("timeline").scrollIntoView();
    return true;
  };
  // Another step is looked at as closely as the one before.
  const change = (number) => {
    const zoomed = state.begin !== 0 || state.end !== view.current.span;
    remember();
    show(number, state.rank, ...(zoomed ? [state.begin, state.end] : []));
    writeAddress();
  };
  const stepBy = (by) => {
    const order = [...steps.keys()].sort((a, b) => a - b);
    const next = order[order.indexOf(state.step) + by];
    if (next !== undefined) change(next);
  };
  return { look, zoom, pan, reset, undo, remember, show, change, stepBy, markRank, replace, writeAddress, followAddress, keepers };
};
