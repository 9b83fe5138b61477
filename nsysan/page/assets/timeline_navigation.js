// Where in the timeline one is: the address tells it, #step=17&rank=3&from=120&to=180 (us).
const timelineNavigation = (view, path, redraw) => {
  const { report, box, steps, state } = view;
  const tip = view.stage.querySelector(".tip");
  const status = document.getElementById("timeline-status");
  const chooseStep = document.getElementById("step");
  const chooseRank = document.getElementById("rank");

  const writeAddress = () => {
    const parts = [`step=${state.step}`];
    if (state.rank !== null) parts.push(`rank=${state.rank}`);
    if (state.begin !== 0 || state.end !== view.current.span) {
      parts.push(`from=${(state.begin / 1e3).toFixed(3)}`, `to=${(state.end / 1e3).toFixed(3)}`);
    }
    history.replaceState(null, "", `#${parts.join("&")}`);
  };
  const look = (begin, end) => {
    const span = Math.min(Math.max(end - begin, 100), (view.current.span - view.current.first) * 1.5);
    const centre = (begin + end) / 2;
    const from = Math.min(Math.max(centre - span / 2, view.current.first - 0.2 * view.current.span), 1.2 * view.current.span - span);
    state.begin = Math.round(from);
    state.end = Math.round(from + span);
    box.dataset.begin = state.begin;
    box.dataset.end = state.end;
    redraw();
    writeAddress();
  };
  const zoom = (factor, at = (state.begin + state.end) / 2) =>
    look(at - (at - state.begin) * factor, at + (state.end - at) * factor);
  const pan = (share) => {
    const by = share * (state.end - state.begin);
    look(state.begin + by, state.end + by);
  };
  const reset = () => { state.begin = 0; state.end = view.current.span; look(0, view.current.span); };

  const ledgerOf = (number) => {
    const { step, rank, values, names } = report.ledger;
    const rows = [];
    step.forEach((of, i) => {
      if (of === number) rows.push([rank[i], values.map((column) => column[i])]);
    });
    const table = create("table");
    const head = table.createTHead().insertRow();
    const excluded = report.ledger.excluded[number];
    table.createCaption().textContent =
      `Ledger of step ${number} (${report.ledger.labels[number] || ""}), \u00b5s${excluded ? `; not in the medians: ${excluded}` : ""}`;
    for (const name of ["rank", ...names]) head.append(create("th", name, { scope: "col" }));
    const body = table.createTBody();
    for (const [of, figures] of rows) {
      const row = body.insertRow();
      row.dataset.rank = of;
      row.append(create("td", `rank ${of}`));
      for (const figure of figures) row.append(create("td", figure === null ? "-" : us(figure)));
    }
    const holder = document.getElementById("step-ledger");
    const scroll = create("div", "", { class: "scroll", tabindex: "0" });
    scroll.append(table);
    holder.replaceChildren(scroll);
    const along = path.table(number);
    if (along) {
      const beside = create("div", "", { class: "scroll", tabindex: "0" });
      beside.append(along);
      holder.append(beside);
    }
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
    chooseStep.value = String(state.step);
    markRank();
    view.arrange();
    say(number, rank);
    box.dataset.step = state.step;
    state.begin = 0;
    state.end = view.current.span;
    if (Number.isFinite(from) && Number.isFinite(to) && to > from) look(from, to);
    else { box.dataset.begin = 0; box.dataset.end = view.current.span; redraw(); }
  };

  const followAddress = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("step") && !wanted.has("rank")) return false;
    const number = (name) => (wanted.has(name) ? Number(wanted.get(name)) : NaN);
    show(wanted.has("step") ? number("step") : state.step, wanted.has("rank") ? number("rank") : null,
      number("from") * 1e3, number("to") * 1e3);
    document.getElementById("timeline").scrollIntoView();
    return true;
  };
  // Another step is looked at as closely as the one before.
  const change = (number) => {
    const zoomed = state.begin !== 0 || state.end !== view.current.span;
    show(number, state.rank, ...(zoomed ? [state.begin, state.end] : []));
    writeAddress();
  };
  const stepBy = (by) => {
    const order = [...steps.keys()].sort((a, b) => a - b);
    const next = order[order.indexOf(state.step) + by];
    if (next !== undefined) change(next);
  };
  return { look, zoom, pan, reset, show, change, stepBy, markRank, writeAddress, followAddress };
};
