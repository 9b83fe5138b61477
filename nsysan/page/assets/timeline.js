// All ranks on one clock.
const startTimeline = (report) => {
  const view = timelineView(report);
  const path = timelinePath(view);
  const operations = timelineOperations(view);
  const head = timelineHead(view);
  const { draw, redraw } = timelineDrawing(view, path, operations, head);
  const navigation = timelineNavigation(view, path, redraw, () => arrange());
  const { pressed } = timelineControls(view, navigation, () => arrange());
  const cursor = timelineCursor(view, operations, navigation, pressed);
  const range = timelineRange(view, operations, navigation, { tell: cursor.tell, seek: (text) => find.find(text), redraw });
  const find = timelineFind(view, operations, navigation, cursor, redraw);
  const changed = () => { arrange(); find.search(); range.fill(); };
  const ranks = timelineRanks(view, navigation, changed, cursor.tell);
  const pointer = timelinePointer(view, operations, navigation, cursor, range, redraw);
  const clear = () => {
    pointer.leave();
    const had = [cursor.clear(), range.clear()].some(Boolean);
    if (had) navigation.writeAddress(); else view.box.blur();
    find.tell();
    redraw();
  };
  timelineKeys(view, { navigation, path, cursor, find, range, ranks, pressed, clear });
  head.follow(navigation.look, navigation.remember);

  // Lanes are laid out anew: what lies over them goes along.
  const arrange = () => {
    if (!view.current) return;
    view.arrange();
    ranks.fill();
    cursor.place();
    redraw();
  };
  const again = () => { arrange(); draw(); };
  const bar = document.querySelector("nav");
  const measure = () => {
    const covers = bar && getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
    view.stage.style.setProperty("--under", `${covers}px`);
  };
  window.addEventListener("hashchange", () => { navigation.followAddress(); });
  new ResizeObserver(() => { measure(); if (view.box.clientWidth !== view.layout.width) again(); }).observe(view.box);
  nsysan.onTheme.push(again);
  measure();
  navigation.show(view.state.step, null);
  pressed();
  navigation.followAddress();
  again();
};
