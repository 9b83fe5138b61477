// Before a page is ready: one of each at every element, from the moment that there are any.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of [document, window, ...document.querySelectorAll("*")]) {
    for (const name of ["click", "dblclick", "pointerdown", "pointermove", "pointerup", "pointercancel", "mouseup", "wheel",
      "keydown", "input", "change", "hashchange", "resize", "scroll", "beforeprint", "afterprint", "blur"]) {
      element.dispatchEvent(new Event(name, { bubbles: true, cancelable: true }));
    }
  }
});
