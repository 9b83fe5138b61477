// All ranks on one clock.
const startTimeline = (report) => {
  const view = timelineView(report);
  const path = timelinePath(view);
  const { draw, redraw } = timelineDrawing(view, path);
  const navigation = timelineNavigation(view, path, redraw);
  const { pressed } = timelineControls(view, navigation, redraw);
  timelinePointer(view, navigation, (by) => path.follow(by, navigation.look, pressed), redraw);
  const again = () => { view.arrange(); draw(); };
  window.addEventListener("hashchange", navigation.followAddress);
  new ResizeObserver(() => { if (view.box.clientWidth !== view.layout.width) again(); }).observe(view.box);
  nsysan.onTheme.push(again);
  navigation.show(view.state.step, null);
  navigation.followAddress();
  pressed();
  draw();
};
