// Events as no hand makes them, thousands of them, at all that a page reacts to.
async ([count, seed, within]) => {
  let state = seed;
  const chance = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const pick = (list) => list[Math.floor(chance() * list.length)];
  const number = () => pick([0, -1, 1, 3, 120, -120, 1e9, -1e9, 0.5, Math.floor(chance() * 1400), Math.floor(chance() * 900)]);
  const odd = () => pick([NaN, Infinity, undefined, null, "x", -0, 1e308]);
  const keys = ["+", "-", "0", "Home", "u", "Backspace", "f", "[", "]", "/", "n", "N", ".", ",", "ArrowUp", "ArrowDown",
    "ArrowLeft", "ArrowRight", "Enter", "c", "C", "j", "b", "p", "P", "i", "o", "m", "Escape", "e", "E", "t", "h", "H",
    "?", "Dead", "", "Unidentified", "Tab", "\u00e9", "PageDown", undefined, null];
  const hashes = ["#step=5", "#step=-1", "#step=1e999", "#step=NaN&rank=x", "#step=5&from=NaN&to=1", "#from=1&to=",
    "#step=5&from=300&to=100", "#range=1_0", "#range=9e9_1", "#range=-999999999999_999999999999", "#op=99999999", "#op=-1",
    "#op=3p", "#hide=0.1.2.3", "#hide=" + "1.".repeat(900), "#order=3.3.x.2", "#fold=0&top=1", "#find=%", "#find=%3Cimg",
    "#find=" + "a".repeat(5000), "#%00", "#step", "#=&=&", "#op=5&range=10_20&find=nvjet&top=2.9.1e3&step=7", "#timeline"];
  const mouse = ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave", "pointerenter", "lostpointercapture",
    "mousedown", "mousemove", "mouseup", "mouseleave", "mouseover", "click", "dblclick", "contextmenu", "auxclick", "wheel"];
  const plain = ["input", "change", "blur", "focus", "focusin", "focusout", "resize", "scroll", "toggle", "close", "cancel", "touchstart",
    "touchmove", "touchend", "touchcancel", "gesturestart", "dragstart", "drop", "select", "copy", "paste", "pointerrawupdate",
    "visibilitychange", "fullscreenchange", "beforeprint", "afterprint", "hashchange", "popstate", "keyup", "keydown"];
  const targets = [document, window, document.body, ...document.querySelectorAll(within)];
  const shaped = (name) => {
    const common = { bubbles: chance() < 0.9, cancelable: true, clientX: number(), clientY: number(), button: pick([0, 0, 0, 1, 2, -1]),
      ctrlKey: chance() < 0.2, shiftKey: chance() < 0.3, altKey: chance() < 0.1, metaKey: chance() < 0.1 };
    if (name === "wheel") return new WheelEvent(name, { ...common, deltaX: number(), deltaY: pick([0, number()]), deltaMode: pick([0, 1, 2]) });
    if (name.startsWith("pointer") || name === "lostpointercapture") {
      return new PointerEvent(name, { ...common, pointerId: pick([1, 1, 1, 2, 3, -7, 99]), pointerType: pick(["mouse", "touch", "pen", ""]) });
    }
    return new MouseEvent(name, common);
  };
  let sent = 0;
  for (let i = 0; i < count; i += 1) {
    const target = pick(targets);
    const kind = chance();
    let event;
    if (kind < 0.62) {
      // Half of them go to one place in a row, as drags do.
      event = shaped(pick(mouse));
    } else if (kind < 0.82) {
      event = new KeyboardEvent("keydown", { bubbles: true, cancelable: true, shiftKey: chance() < 0.3, key: pick(keys) || "" });
      if (chance() < 0.03) Object.defineProperty(event, "key", { value: pick([undefined, null, 3]) });
    } else {
      event = new Event(pick(plain), { bubbles: chance() < 0.8, cancelable: true });
    }
    if (chance() < 0.08) {
      for (const name of ["clientX", "clientY", "deltaY", "deltaX", "pointerId"]) {
        if (chance() < 0.5) Object.defineProperty(event, name, { value: odd() });
      }
    }
    if (chance() < 0.01) location.hash = pick(hashes);
    if (chance() < 0.004) document.body.hidden = !document.body.hidden;
    if (chance() < 0.004) document.getElementById("stage").style.width = pick(["0", "3px", "60px", "500px", "", ""]);
    if (target.tagName === "INPUT" && chance() < 0.5) target.value = pick(["nvjet", "", "  a  b ", "<img src=x>", "(((", "x".repeat(300)]);
    if (target.tagName === "SELECT" && chance() < 0.5) target.selectedIndex = Math.floor(chance() * (target.options.length + 1)) - 1;
    target.dispatchEvent(event);
    sent += 1;
    if (i % 200 === 0) await new Promise((done) => setTimeout(done));
  }
  document.body.hidden = false;
  document.getElementById("stage").style.width = "";
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  return sent;
}
