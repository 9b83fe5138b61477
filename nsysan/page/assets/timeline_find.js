// Search of the step's kernels, calls and ranges: all words, in any case, in the short name or the full one.
const timelineFind = (view, operations, navigation, cursor, redraw) => {
  const { report, state, ranks } = view;
  const field = document.getElementById("find");
  const count = document.getElementById("hits");
  const LONGEST = 200;
  let hits = [];
  let told = "";

  const matcher = (words) => {
    const known = new Map();
    return (slice) => {
      const key = slice.name * (report.facts.length + 1) + slice.fact + 1;
      if (!known.has(key)) {
        const text = `${report.names[slice.name]} ${slice.fact < 0 ? "" : report.facts[slice.fact][0]}`.toLowerCase();
        known.set(key, words.every((word) => text.includes(word)));
      }
      return known.get(key);
    };
  };
  const number = () => hits.indexOf(state.op);
  const tell = () => {
    const away = told && state.found ? state.found.away : 0;
    const at = number();
    const place = at >= 0 ? `${at + 1} of ` : "";
    const on = new Set(hits.map((slice) => slice.row.rank)).size;
    count.textContent = !state.found ? "" : `${place}${hits.length.toLocaleString("en-US")} ${hits.length === 1 ? "hit" : "hits"} on ${on} ${on === 1 ? "rank" : "ranks"}${away ? `, ${away.toLocaleString("en-US")} on hidden ranks` : ""}`;
  };
  const search = () => {
    const text = field.value.slice(0, LONGEST).trim();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    told = text;
    hits = [];
    if (!words.length) state.found = null;
    else {
      const matches = matcher(words);
      const marked = Uint8Array.from(view.current.slices, matches);
      const is = (slice) => marked[slice.number] === 1;
      const all = view.current.slices.filter((slice) => is(slice) && operations.head(slice) === slice);
      hits = all.filter((slice) => !ranks.away.has(slice.row.rank))
        .sort((a, b) => a.begin - b.begin || a.row.rank - b.row.rank || a.number - b.number);
      state.found = { text, is, away: all.length - hits.length };
    }
    tell();
    redraw();
  };
  const go = (by) => {
    if (!state.found) { field.focus(); return; }
    if (!hits.length) return;
    const at = number();
    let next = at + by;
    if (at < 0) {
      const time = state.op ? state.op.begin : state.begin;
      const after = hits.findIndex((slice) => slice.begin >= time);
      next = by > 0 ? after : (after < 0 ? hits.length : after) - 1;
      if (by > 0 && after < 0) next = hits.length;
    }
    cursor.choose(hits[(next + hits.length) % hits.length]);
    tell();
  };
  const find = (text) => { field.value = text.slice(0, LONGEST); search(); navigation.writeAddress(); };
  field.addEventListener("input", () => { search(); navigation.writeAddress(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); go(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { event.preventDefault(); find(""); view.box.focus({ preventScroll: true }); }
  });
  navigation.keepers.push({
    names: ["find"],
    write: () => (told ? [["find", told]] : []),
    read: (wanted) => { if (wanted.has("find")) { field.value = wanted.get("find").slice(0, LONGEST); search(); } },
    forget: search,
  });
  return { go, find, search, tell, focus: () => { field.focus(); field.select(); } };
};
