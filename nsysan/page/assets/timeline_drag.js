// A rank that is dragged by its name goes past the ranks that the pointer passes; Escape puts all back.
const timelineDrag = (view, bars, move, done) => {
  const { ranks } = view;
  let held = null;

  // Beyond so much of its neighbour that the rank, once it has changed places with it, lies under the pointer.
  const passed = (y) => {
    const shown = view.layout.heads.filter(({ rank }) => ranks.top.has(rank) === ranks.top.has(held.rank));
    const at = shown.findIndex(({ rank }) => rank === held.rank);
    const [before, own, after] = [shown[at - 1], shown[at], shown[at + 1]];
    if (!own) return 0;
    const height = own.bottom - own.y;
    if (after && y > Math.max(after.y, after.bottom - height)) return 1;
    return before && y < Math.min(before.bottom, before.y + height) ? -1 : 0;
  };
  const mark = () => {
    for (const bar of bars) bar.classList.toggle("dragging", held !== null);
    for (const head of document.querySelectorAll(".heads .head")) head.classList.toggle("dragged", held !== null && Number(head.dataset.rank) === held.rank);
  };
  const down = (event, bar) => {
    const head = event.target.closest(".head");
    if (!head || event.button !== 0 || event.pointerType === "touch" || event.target.closest("button")) return;
    event.preventDefault();
    held = { rank: Number(head.dataset.rank), pane: bars.indexOf(bar), order: [...ranks.order], moved: false };
    capture(bar, event);
    mark();
  };
  const drag = (event, bar) => {
    if (!held || !Number.isFinite(event.clientY)) return;
    const y = event.clientY - bar.getBoundingClientRect().top + view.panes[held.pane].from;
    // A pointer may pass several at once.
    for (let left = ranks.order.length; left > 0; left -= 1) {
      const by = passed(y);
      if (!by || !move(held.rank, by)) break;
      held.moved = true;
    }
    mark();
  };
  const end = (keep) => {
    if (!held) return;
    const { rank, order, moved } = held;
    held = null;
    if (!keep && moved) ranks.order.splice(0, Infinity, ...order);
    if (moved) done(rank, keep);
    mark();
  };
  for (const bar of bars) {
    bar.addEventListener("pointerdown", (event) => { if (view.layout) down(event, bar); });
    bar.addEventListener("pointermove", (event) => { if (view.layout) drag(event, bar); });
    for (const name of ["pointerup", "lostpointercapture"]) bar.addEventListener(name, () => end(true));
    bar.addEventListener("pointercancel", () => end(false));
  }
  window.addEventListener("blur", () => end(false));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !held) return;
    event.preventDefault();
    event.stopPropagation();
    end(false);
  }, true);
};
