// The operation that one is at: chosen by a click or a key, told in words, and where one goes from it.
const timelineCursor = (view, operations, navigation, pressed) => {
  const { report, hidden, state, ranks, stage } = view;
  const status = document.getElementById("op-status");
  const card = document.getElementById("pinned");
  const unset = status.textContent.replace(/\s+/g, " ");
  const came = [];

  const tell = (text) => { status.textContent = text || unset; };
  // Its lane is shown, whatever was hidden, and its line too.
  const reveal = (slice) => {
    const { rank } = slice.row;
    ranks.away.delete(rank);
    if (ranks.folded.has(rank) && !view.isWork(slice.row)) ranks.folded.delete(rank);
    hidden.delete(operations.lineOf(slice).id);
    pressed();
  };
  const intoSight = (slice) => {
    const place = view.layout.placeOf.get(slice.row);
    if (!place || place.y < view.layout.split) return;
    const top = view.canvas.getBoundingClientRect().top + place.y - view.layout.split;
    const covered = document.getElementById("timeline-head").getBoundingClientRect().bottom;
    if (top < covered || top + place.height > window.innerHeight) window.scrollBy(0, top - (covered + window.innerHeight) / 2);
  };
  // As near as before, unless it is then too small to be seen, or does not fit.
  const bring = (slice) => {
    const { begin, end } = operations.whole(slice);
    const length = end - begin;
    const span = Math.min(Math.max(state.end - state.begin, length / 0.8), Math.max(length / 0.004, 100));
    if (begin >= state.begin && end <= state.end && span >= state.end - state.begin) return;
    const centre = (begin + end) / 2;
    navigation.look(centre - span / 2, centre + span / 2, "cursor");
  };

  // Beside its lane, below it where there is room.
  const place = () => {
    if (card.hidden) return;
    const at = view.layout.placeOf.get(state.op.row);
    const frame = stage.querySelector("#lanes").getBoundingClientRect();
    const pane = view.panes[at && at.y < view.layout.split ? 1 : 0];
    const top = pane.canvas.getBoundingClientRect().top - frame.top + (at ? at.y + at.height - pane.from : 0) + 10;
    const left = Math.min(Math.max(view.x(operations.whole(state.op).begin), view.layout.left), view.layout.width - card.offsetWidth - 6);
    card.style.top = `${top}px`;
    card.style.left = `${Math.max(left, 4)}px`;
  };
  const fill = () => {
    card.hidden = !(state.pinned && state.op);
    if (card.hidden) return;
    const list = create("dl");
    for (const [term, value] of operations.facts(state.op)) list.append(create("dt", term), create("dd", value));
    card.querySelector("b").textContent = operations.fullName(state.op);
    card.querySelector("dl").replaceWith(list);
    place();
  };
  const choose = (slice, { pinned = state.pinned, move = true } = {}) => {
    state.op = operations.head(slice);
    state.pinned = pinned;
    reveal(state.op);
    if (move) { bring(state.op); intoSight(state.op); }
    fill();
    tell(operations.inWords(state.op));
    navigation.writeAddress();
  };
  const clear = () => {
    const had = Boolean(state.op);
    state.op = null;
    state.pinned = false;
    card.hidden = true;
    tell("");
    return had;
  };
  // Where one is, for keys that go on from there: at an operation, or at the middle of what is shown.
  const here = () => {
    const { op } = state;
    const inView = op && operations.whole(op).end >= state.begin && op.begin <= state.end;
    return inView ? op : null;
  };
  const pin = () => {
    const pointed = state.hover && state.hover.slice;
    const op = state.op || pointed || nearest(firstLane());
    if (!op) return;
    const same = state.op && state.pinned;
    choose(op, { pinned: !same, move: !same });
  };

  const lanes = () => view.layout.rows.map(({ row }) => row).filter((row) => !row.counter && row.slices.length);
  const firstLane = () => lanes().find((row) => (row.whole || view.isWork(row)) && (state.rank === null || row.rank === state.rank)) || lanes()[0];
  const shown = (slice) => !hidden.has(operations.lineOf(slice).id) && operations.head(slice) === slice;
  const nearest = (row, time = (state.begin + state.end) / 2) => {
    if (!row) return null;
    let best = null;
    const far = (slice) => Math.max(slice.begin - time, time - slice.end, 0);
    for (let i = firstReaching(row, time); i < row.slices.length; i += 1) {
      const slice = row.slices[i];
      if (shown(slice) && (!best || far(slice) < far(best))) best = slice;
      if (best && slice.begin > time && far(slice) > far(best)) break;
    }
    return best || [...row.slices].reverse().find(shown) || null;
  };
  const laneOf = (slice) => {
    const at = view.layout.placeOf.get(slice.row);
    return at ? at.row : null;
  };
  // Along the lane.
  const along = (by) => {
    const from = here();
    if (!from) { const first = nearest(firstLane()); if (first) choose(first); return; }
    const { slices } = laneOf(from) || from.row;
    let at = slices.indexOf(from) + by;
    while (slices[at] && !shown(slices[at])) at += by;
    if (slices[at]) choose(slices[at]); else tell(`No operation ${by > 0 ? "after" : "before"} this one on its lane.`);
  };
  // To the lane above or below, at the same time.
  const across = (by) => {
    const from = here();
    const all = lanes();
    const at = from ? all.indexOf(laneOf(from)) + by : all.indexOf(firstLane());
    const time = from ? from.begin : (state.begin + state.end) / 2;
    for (let i = at; all[i]; i += by) {
      const found = nearest(all[i], time);
      // A lane on which nothing is shown is passed over.
      if (found && operations.whole(found).end >= state.begin && found.begin <= state.end) { choose(found); return; }
    }
    tell(`No lane ${by > 0 ? "below" : "above"} this one has an operation in what is shown.`);
  };

  // Collectives of the rank that one is at, as they begin.
  const collective = (by) => {
    const from = here();
    const rank = from ? from.row.rank : state.rank !== null ? state.rank : view.shownRanks()[0];
    if (rank === undefined) return;
    const calls = (view.current.lanesOf.get(rank) || []).filter(view.isWork).flatMap((row) => row.slices)
      .filter((slice) => operations.lineOf(slice).communicates && operations.head(slice) === slice)
      .sort((a, b) => a.begin - b.begin);
    if (!calls.length) { tell(`Rank ${rank} communicates nowhere in this step.`); return; }
    const time = from ? from.begin : state.begin;
    const next = by > 0 ? calls.find((slice) => slice.begin > time || (!from && slice.begin === time)) : calls.filter((slice) => slice.begin < time).pop();
    if (next) choose(next); else tell(`No collective ${by > 0 ? "after" : "before"} this one on rank ${rank} in this step.`);
  };
  // From who waits to who arrived last.
  const waitedFor = () => {
    const from = here() || (state.hover && state.hover.slice);
    const call = from && operations.callOf(from);
    if (!call) { tell("Not at a collective whose calls are matched: press c for the next one."); return; }
    if (!call.last) { tell(`Who arrived last at collective ${call.number} is not in this file.`); return; }
    if (call.last === operations.head(from)) { tell(`${operations.inWords(from)}; the others waited for this rank`); return; }
    came.push({ step: state.step, op: operations.head(from), begin: state.begin, end: state.end });
    if (came.length > 100) came.shift();
    choose(call.last);
  };
  const back = () => {
    const before = came.pop();
    if (!before || before.step !== state.step) { tell("Nowhere to go back to: j goes from one that waits to the one waited for."); return; }
    navigation.look(before.begin, before.end, "cursor");
    choose(before.op, { move: false });
    intoSight(before.op);
  };
  const near = () => {
    const of = state.op ? operations.whole(state.op) : state.range;
    if (!of) return;
    const margin = Math.max((of.end - of.begin) * 0.1, 50);
    navigation.look(of.begin - margin, of.end + margin);
  };

  navigation.keepers.push({
    names: ["op"],
    write: () => (state.op ? [["op", `${state.op.number}${state.pinned ? "p" : ""}`]] : []),
    read: (wanted) => {
      const found = /^(\d{1,7})(p?)$/.exec(wanted.get("op") || "");
      const slice = found && view.current.slices[Number(found[1])];
      if (slice) choose(slice, { pinned: found[2] === "p", move: !wanted.has("from") });
    },
    forget: () => { came.length = 0; clear(); },
  });
  card.querySelector("[data-do=close]").addEventListener("click", () => { state.pinned = false; fill(); navigation.writeAddress(); view.box.focus({ preventScroll: true }); });
  const copy = card.querySelector("[data-do=copy]");
  copy.addEventListener("click", async () => {
    if (!state.op) return;
    await copyText([["name", operations.fullName(state.op)], ...operations.facts(state.op)].map((row) => row.join("\t")).join("\n"));
    copy.textContent = "copied";
    setTimeout(() => { copy.textContent = "copy"; }, 1500);
  });
  card.querySelector("[data-do=last]").addEventListener("click", waitedFor);
  card.querySelector("[data-do=near]").addEventListener("click", near);
  return { choose, clear, pin, place, fill, along, across, collective, waitedFor, back, near, tell };
};
