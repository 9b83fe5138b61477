// Of the buttons of a bar one is reached by Tab, the others from there by arrows.
const roving = (bar) => {
  const buttons = () => [...bar.querySelectorAll("button")];
  const reach = (chosen) => { for (const button of buttons()) button.tabIndex = button === chosen ? 0 : -1; };
  bar.addEventListener("focusin", ({ target }) => { if (buttons().includes(target)) reach(target); });
  bar.addEventListener("keydown", (event) => {
    const all = buttons();
    const at = all.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (all[to]) all[to].focus();
  });
  reach(buttons()[0]);
};
// What stands above a timeline: its step, its rank, and which lines it shows.
const timelineControls = (view, navigation, redraw) => {
  const { report, hidden, state, lineNumber, kindOf } = view;
  const chooseStep = document.getElementById("step");
  const chooseRank = document.getElementById("rank");
  const legend = document.getElementById("legend");

  const group = (title, list) => {
    if (!list.length) return;
    const options = create("optgroup", "", { label: title });
    for (const step of list) {
      const name = `step ${step.step}: ${step.role ? `${step.role}, ` : ""}${step.period}`;
      options.append(create("option", name, { value: step.step }));
    }
    chooseStep.append(options);
  };
  group("worth a look", report.steps.filter((step) => step.role));
  group("others", report.steps.filter((step) => !step.role));
  for (const rank of report.ranks) chooseRank.append(create("option", `rank ${rank}`, { value: rank }));
  chooseStep.addEventListener("change", () => navigation.change(Number(chooseStep.value)));
  chooseRank.addEventListener("change", () => {
    state.rank = chooseRank.value === "" ? null : Number(chooseRank.value);
    navigation.markRank();
    redraw();
    navigation.writeAddress();
  });

  const present = new Set(report.present);
  const filters = report.lines.filter((line, number) => present.has(number));
  if (report.steps.some((step) => step.last.length)) filters.push(report.lines[lineNumber.last]);
  const toggles = filters.map((line) => [line.id, line.name, line.id === "last" ? "var(--ink)" : line.colour]);
  if (report.steps.some((step) => step.path.length)) toggles.push(["path", "critical path", "var(--path)"]);
  const used = new Set(report.steps.flatMap((step) => step.counters.map((counter) => kindOf(counter.name))));
  for (const kind of used) toggles.push([kind, `counters: ${kind}`, report.counters[kind]]);
  const pressed = () => {
    for (const button of legend.children) button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.line)));
    redraw();
  };
  for (const [id, name, paint] of toggles) {
    const button = create("button", name, { type: "button", "data-line": id, title: "click: hide or show; double-click: only this" });
    button.prepend(create("i", "", { style: `background:${paint}` }));
    button.addEventListener("click", () => {
      if (!hidden.delete(id)) hidden.add(id);
      pressed();
    });
    button.addEventListener("dblclick", () => {
      const others = toggles.map(([other]) => other).filter((other) => other !== id);
      const alone = others.every((other) => hidden.has(other)) && !hidden.has(id);
      hidden.clear();
      if (!alone) for (const other of others) hidden.add(other);
      pressed();
    });
    legend.append(button);
  }
  roving(legend);
  roving(document.getElementById("look"));
  const link = document.getElementById("link");
  link.addEventListener("click", async () => {
    navigation.replace();
    // A file's address is of no use to others.
    await copyText(location.protocol === "file:" ? location.hash : location.href);
    link.textContent = "copied";
    setTimeout(() => { link.textContent = "copy link"; }, 1500);
  });
  return { pressed };
};
