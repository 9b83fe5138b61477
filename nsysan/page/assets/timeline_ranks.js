// The ranks of a timeline: collapsed, kept in sight, moved and hidden, by buttons beside their lanes and by keys.
const timelineRanks = (view, navigation, changed, tell) => {
  const { report, ranks, stage } = view;
  const bars = [stage.querySelector("#heads"), stage.querySelector("#top-heads")];
  const away = document.getElementById("hidden-ranks");
  const toggle = (set, rank) => { if (!set.delete(rank)) set.add(rank); };

  const again = (text) => {
    changed();
    navigation.writeAddress();
    if (text) tell(text);
  };
  const fold = (rank) => {
    toggle(ranks.folded, rank);
    again(`Rank ${rank} is ${ranks.folded.has(rank) ? "collapsed to one lane" : "expanded"}`);
  };
  const foldAll = () => {
    const all = report.ranks.every((rank) => ranks.folded.has(rank));
    ranks.folded.clear();
    if (!all) for (const rank of report.ranks) ranks.folded.add(rank);
    again(all ? "All ranks are expanded" : "All ranks are collapsed");
  };
  const pin = (rank) => {
    toggle(ranks.top, rank);
    again(`Rank ${rank} ${ranks.top.has(rank) ? "stays in sight above the others" : "is in its place again"}`);
  };
  const hide = (rank) => {
    ranks.away.add(rank);
    again(`Rank ${rank} is hidden`);
  };
  const showAll = () => { ranks.away.clear(); again("All ranks are shown"); };
  // Before or after its neighbour, of those that are shown; which that is, if there is one.
  const pass = (rank, by) => {
    const shown = view.shownRanks().filter((other) => ranks.top.has(other) === ranks.top.has(rank));
    const other = shown[shown.indexOf(rank) + by];
    if (other === undefined) return null;
    const [a, b] = [ranks.order.indexOf(rank), ranks.order.indexOf(other)];
    [ranks.order[a], ranks.order[b]] = [other, rank];
    return other;
  };
  const move = (rank, by) => {
    const other = pass(rank, by);
    if (other !== null) again(`Rank ${rank} is ${by < 0 ? "above" : "below"} rank ${other}`);
  };
  timelineDrag(view, bars, (rank, by) => {
    const other = pass(rank, by);
    if (other !== null) changed();
    return other !== null;
  }, (rank, kept) => again(kept ? `Rank ${rank} is number ${view.shownRanks().indexOf(rank) + 1} of those shown` : `Rank ${rank} is where it was`));

  const deeds = (rank) => [
    ["fold", ranks.folded.has(rank) ? "\u25b8" : "\u25be", ranks.folded.has(rank) ? "expand" : "collapse", () => fold(rank)],
    ["pin", "\u2912", ranks.top.has(rank) ? "let go of" : "keep in sight", () => pin(rank)],
    ["up", "\u2191", "move up", () => move(rank, -1)],
    ["down", "\u2193", "move down", () => move(rank, 1)],
    ["hide", "\u00d7", "hide", () => hide(rank)],
  ];
  const headOf = ({ rank, y, bottom, pinned }, from) => {
    const short = bottom - y < 2 * ROW && !view.layout.narrow;
    const holder = create("div", "", { class: `head${pinned ? " pinned" : ""}${short ? " short" : ""}`, role: "group", "aria-label": `rank ${rank}`, "data-rank": rank });
    holder.style.top = `${y - from}px`;
    holder.style.height = `${view.layout.narrow ? ROW : bottom - y}px`;
    const name = create("span", `rank ${rank}`, { title: "drag to move the rank" });
    if (view.state.rank === rank) name.classList.add("chosen");
    if (rank === report.late) { name.append(create("small", " late")); name.title = "the late rank of the verdict; drag to move it"; }
    const more = create("span", "", { class: "more" });
    for (const [id, sign, words, act] of deeds(rank)) {
      const button = create("button", sign, { type: "button", tabindex: "-1", "data-deed": id, "data-rank": rank, "aria-label": `${words} rank ${rank}`, title: `${words} rank ${rank}` });
      if (id === "fold") button.setAttribute("aria-expanded", String(!ranks.folded.has(rank)));
      if (id === "pin") button.setAttribute("aria-pressed", String(ranks.top.has(rank)));
      button.addEventListener("click", act);
      if (id === "fold") holder.append(button, name); else more.append(button);
    }
    holder.append(more);
    return holder;
  };
  // One of all buttons is reached by Tab, the others from there by arrows.
  let current = null;
  const buttons = () => bars.flatMap((bar) => [...bar.querySelectorAll("button")]);
  const rove = () => {
    const all = buttons();
    const chosen = all.find(({ dataset }) => current && dataset.rank === current.rank && dataset.deed === current.deed) || all[0];
    for (const button of all) button.tabIndex = button === chosen ? 0 : -1;
    return chosen;
  };
  const fill = () => {
    const held = bars.some((bar) => bar.contains(document.activeElement));
    bars.forEach((bar, pane) => {
      const { from, to } = view.panes[pane];
      bar.replaceChildren(...view.layout.heads.filter(({ y }) => y >= from && y < to).map((head) => headOf(head, from)));
    });
    const chosen = rove();
    if (held && chosen) chosen.focus({ preventScroll: true });
    const hidden = report.ranks.filter((rank) => ranks.away.has(rank));
    away.hidden = !hidden.length;
    away.replaceChildren();
    if (!hidden.length) return;
    away.append(create("span", "hidden:"));
    for (const rank of hidden.slice(0, 64)) {
      const button = create("button", `rank ${rank}`, { type: "button", title: `show rank ${rank}` });
      button.addEventListener("click", () => { ranks.away.delete(rank); again(`Rank ${rank} is shown`); });
      away.append(button);
    }
    const all = create("button", "show all", { type: "button" });
    all.addEventListener("click", showAll);
    away.append(all);
  };
  const steer = (event) => {
    const at = event.target.closest ? event.target.closest("button[data-deed]") : null;
    if (!at || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = buttons();
    const number = all.indexOf(at);
    const each = deeds(0).length;
    const to = { ArrowRight: number + 1, ArrowLeft: number - 1, ArrowDown: number + each, ArrowUp: number - each, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (all[to]) all[to].focus();
  };
  for (const bar of bars) {
    bar.addEventListener("keydown", steer);
    bar.addEventListener("focusin", ({ target }) => { if (target.dataset.deed) { current = { ...target.dataset }; rove(); } });
  }

  const numbers = (text) => text.slice(0, 2_000).split(".").map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : NaN)).filter((rank) => report.ranks.includes(rank));
  const sets = { hide: ranks.away, fold: ranks.folded, top: ranks.top };
  const natural = ranks.order.join(".");
  navigation.keepers.push({
    names: [...Object.keys(sets), "order"],
    write: () => [
      ...Object.entries(sets).filter(([, set]) => set.size).map(([name, set]) => [name, [...set].sort((a, b) => a - b).join(".")]),
      ...(ranks.order.join(".") === natural ? [] : [["order", ranks.order.join(".")]]),
    ],
    read: (wanted) => {
      let given = false;
      for (const [name, set] of Object.entries(sets)) {
        if (!wanted.has(name)) continue;
        given = true;
        set.clear();
        for (const rank of numbers(wanted.get(name))) set.add(rank);
      }
      if (wanted.has("order")) {
        given = true;
        const first = [...new Set(numbers(wanted.get("order")))];
        ranks.order.splice(0, Infinity, ...first, ...ranks.order.filter((rank) => !first.includes(rank)));
      }
      if (given) changed();
    },
    forget: () => {},
  });
  // The rank that keys are about.
  const here = () => {
    const { op, rank } = view.state;
    return op ? op.row.rank : rank !== null ? rank : view.shownRanks()[0];
  };
  const byKey = (act) => () => { const rank = here(); if (rank !== undefined) act(rank); };
  return {
    fill, showAll, foldAll, fold: byKey(fold), pin: byKey(pin), hide: byKey(hide),
    up: byKey((rank) => move(rank, -1)), down: byKey((rank) => move(rank, 1)),
  };
};
