// What keys and buttons do on a timeline, and the sheet that says so.
const timelineKeys = (view, parts) => {
  const { stage, box } = view;
  const { navigation, path, cursor, find, range, ranks, pressed, clear } = parts;
  const { zoom, pan, reset, undo, look, stepBy } = navigation;
  const follow = (by) => path.follow(by, look, pressed);
  // Keys as KeyboardEvent has them, capital with Shift; what they are called; what they do.
  const sheet = [
    ["Look", [
      [["+", "=", "w"], "+ w", "zoom in", () => zoom(0.5)],
      [["-", "s"], "\u2212 s", "zoom out", () => zoom(2)],
      [["ArrowLeft", "a"], "\u2190 a", "pan left", () => pan(-0.2, "")],
      [["ArrowRight", "d"], "\u2192 d", "pan right", () => pan(0.2, "")],
      [["0", "Home"], "0 Home", "the whole step", reset],
      [["Backspace", "u"], "Backspace u", "back to what was shown before", () => { if (!undo()) cursor.tell("Nothing was shown before this."); }],
      [["f"], "f", "fit the operation, or the range, that is chosen", cursor.near],
      [["["], "[", "previous step", () => stepBy(-1)],
      [["]"], "]", "next step", () => stepBy(1)],
    ]],
    ["Find", [
      [["/"], "/", "search names; Enter and Shift+Enter go from hit to hit", find.focus],
      [["n"], "n", "next hit", () => find.go(1)],
      [["N"], "Shift+n", "previous hit", () => find.go(-1)],
      [["."], ".", "next operation on the lane", () => cursor.along(1)],
      [[","], ",", "previous operation on the lane", () => cursor.along(-1)],
      [["ArrowUp"], "\u2191", "lane above", () => cursor.across(-1)],
      [["ArrowDown"], "\u2193", "lane below", () => cursor.across(1)],
      [["Enter"], "Enter", "keep all that is known of the operation beside it, or let go", cursor.pin],
    ]],
    ["Follow", [
      [["c"], "c", "next collective of the rank", () => cursor.collective(1)],
      [["C"], "Shift+c", "previous collective", () => cursor.collective(-1)],
      [["j"], "j", "from who waits to the rank waited for, the last to arrive", cursor.waitedFor],
      [["b"], "b", "back from there", cursor.back],
      [["p"], "p", "forward along the critical path", () => follow(1)],
      [["P"], "Shift+p", "back along the critical path", () => follow(-1)],
    ]],
    ["Measure", [
      [["i"], "i", "the range begins with the operation, or at the left edge", () => range.mark(false)],
      [["o"], "o", "the range ends with the operation, or at the right edge", () => range.mark(true)],
      [["m"], "m", "the range is the operation, or what is shown", range.around],
      [["Escape"], "Esc", "let go of range and operation; again: leave the timeline", clear],
    ]],
    ["Ranks", [
      [["e"], "e", "collapse or expand the rank", ranks.fold],
      [["E"], "Shift+e", "all ranks", ranks.foldAll],
      [["t"], "t", "keep the rank in sight above the others", ranks.pin],
      [["ShiftArrowUp"], "Shift+\u2191", "move the rank up", ranks.up],
      [["ShiftArrowDown"], "Shift+\u2193", "move the rank down", ranks.down],
      [["h"], "h", "hide the rank", ranks.hide],
      [["H"], "Shift+h", "show all ranks", ranks.showAll],
      [["?"], "?", "this sheet", () => open()],
    ]],
  ];
  const actions = new Map(sheet.flatMap(([, rows]) => rows.flatMap(([keys, , , act]) => keys.map((key) => [key, act]))));
  const MOUSE = [
    ["drag", "zoom"], ["Shift and drag", "choose a range"], ["Alt and drag", "pan"], ["Ctrl and wheel", "zoom"],
    ["Shift and wheel", "pan"], ["click", "keep what is known of an operation"], ["double-click", "the whole step"],
    ["drag in the strip above", "move what is shown, or an edge of it"], ["drag a rank's name", "move the rank; Esc puts it back"],
  ];

  const help = document.getElementById("keys");
  const fill = () => {
    const lists = [...sheet.map(([title, rows]) => [title, rows.map(([, name, words]) => [name, words])]), ["Mouse", MOUSE]];
    help.querySelector("div").replaceChildren(...lists.map(([title, rows]) => {
      const part = create("section");
      const list = create("dl");
      for (const [name, words] of rows) {
        const term = create("dt");
        term.append(create("kbd", name));
        list.append(term, create("dd", words));
      }
      part.append(create("h3", title), list);
      return part;
    }));
  };
  const open = () => {
    if (help.open || !help.isConnected) return;
    if (!help.querySelector("dl")) fill();
    help.showModal();
  };
  help.querySelector("button").addEventListener("click", () => help.close());
  help.addEventListener("click", (event) => { if (event.target === help) help.close(); });

  // Whatever Caps Lock says.
  const nameOf = ({ key, shiftKey }) => {
    if (typeof key !== "string") return "";
    if (key.startsWith("Arrow") && shiftKey) return `Shift${key}`;
    if (!/^[a-z]$/i.test(key)) return key;
    return shiftKey ? key.toUpperCase() : key.toLowerCase();
  };
  const typed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
    const action = actions.get(nameOf(event));
    if (!action) return;
    event.preventDefault();
    action();
  };
  box.addEventListener("keydown", typed);
  // Where nothing that takes keys has the focus, these two lead here.
  document.addEventListener("keydown", (event) => {
    const at = document.activeElement;
    const idle = !at || at === document.body || (stage.contains(at) && !at.matches("input, select, textarea") && at !== box);
    if (idle && !help.open && (event.key === "/" || event.key === "?")) typed(event);
  });
  for (const button of stage.querySelectorAll("[data-key]")) {
    button.addEventListener("click", () => {
      const action = actions.get(button.dataset.key);
      if (action) action();
    });
  }
};
