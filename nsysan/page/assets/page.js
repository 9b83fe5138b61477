"use strict";
// What all parts of the page share: theme, unpacking, plots.
const root = document.documentElement;
const nsysan = { drawn: [], onTheme: [], themed: {} };
const create = (tag, text = "", attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const pause = () => new Promise((resolve) => { setTimeout(resolve); });
// So many characters of base64 are taken at a time, that the page answers in between.
const CHUNK = 1 << 18;
const unpacked = async (id) => {
  const packed = document.getElementById(id).textContent;
  const stream = new DecompressionStream("gzip");
  const found = new Response(stream.readable);
  const content = found.arrayBuffer();
  const writer = stream.writable.getWriter();
  for (let at = 0; at < packed.length; at += CHUNK) {
    const text = atob(packed.slice(at, at + CHUNK));
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    writer.write(bytes);
    await pause();
  }
  writer.close();
  return content;
};
const scriptOf = (attributes, text = "") => new Promise((resolve, reject) => {
  const script = create("script", text, attributes);
  script.addEventListener("load", resolve);
  script.addEventListener("error", reject);
  document.head.append(script);
  // What stands in the element has run by now.
  if (text) resolve();
});
const loadPlotly = async () => {
  const holder = document.getElementById("plotly");
  if (holder) {
    const content = await unpacked("plotly");
    // By an address the browser reads it beside all else; the policy knows it by its hash either way.
    const src = URL.createObjectURL(new Blob([content], { type: "text/javascript" }));
    try {
      await scriptOf({ src, integrity: holder.dataset.integrity });
    } catch {
      await scriptOf({}, new TextDecoder().decode(content));
    } finally {
      URL.revokeObjectURL(src);
    }
  } else if (document.readyState !== "complete") {
    await new Promise((resolve) => { window.addEventListener("load", resolve); });
  }
  if (typeof Plotly === "undefined") throw new Error("plotly.js did not load");
};

const PATTERNS = ["", "/", "\\", "-", "|"];
const styled = (source) => {
  const ink = colour("--ink");
  const line = colour("--line");
  // Some colours are others on a dark page.
  const painted = source.replace(new RegExp(Object.keys(nsysan.themed).join("|"), "g"), (found) => colour(nsysan.themed[found]));
  const { data, layout } = JSON.parse(painted);
  delete layout.title;
  // Paper may be grey.
  if (root.classList.contains("printing") && layout.barmode === "stack") {
    data.forEach((series, i) => {
      series.marker = { ...series.marker, pattern: { shape: PATTERNS[i % PATTERNS.length], fgcolor: "#fff", size: 5, solidity: 0.2 } };
    });
  }
  Object.assign(layout, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: "system-ui, sans-serif", size: 13 },
    margin: { l: 10, r: 10, t: 10, b: 45 },
    legend: { ...layout.legend, orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemwidth: 30 },
    hoverlabel: { namelength: -1, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
  });
  for (const name of ["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d+$/.test(key))]) {
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
    layout[name] = { ...(name.startsWith("y") && { automargin: true }), ...layout[name], ...axis };
  }
  return { data, layout };
};
// As wide as a sheet of A4 is between its margins.
const PAPER = 718;
const drawPlot = (element, source) => {
  const { data, layout } = styled(source);
  // Paper does not wait for a chart to find out how wide it is.
  if (root.classList.contains("printing")) layout.width = PAPER;
  // A narrow legend is a tall one.
  const entries = data.filter((series) => series.showlegend !== false && series.name).length;
  const tall = element.clientWidth < 640 && layout.showlegend !== false && entries > 1 ? 18 * entries : 0;
  layout.height += tall;
  element.style.height = `${layout.height}px`;
  return Plotly.react(element, data, layout, {
    responsive: true, displaylogo: false,
    // A report leaves this file by its reader's hand only: plotly offers to upload a chart.
    showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d"],
  });
};
// A step in a chart is a way to its timeline.
const followPoint = ({ points: [point] }) => {
  const rank = /^rank (\d+)$/.exec(String(point.data.z ? point.y : point.data.name));
  location.hash = `step=${point.x}${rank ? `&rank=${rank[1]}` : ""}`;
};
const isShown = (element) => element.getClientRects().length > 0;
const drawOnce = (element) => {
  if (!isShown(element)) return null;
  if (nsysan.drawn.some((drawn) => drawn.element === element)) return null;
  const { data, layout } = nsysan.figures[element.dataset.figure];
  const source = JSON.stringify({ data, layout: { template: nsysan.template, ...layout } });
  nsysan.drawn.push({ element, source });
  const drawing = drawPlot(element, source);
  if ("steps" in element.dataset) element.on("plotly_click", followPoint);
  return drawing;
};
// A chart is drawn when it comes near the screen, one at a time: all of them at once would hold the page up.
const waiting = new Set();
let drawing = Promise.resolve();
const drawNext = async () => {
  await pause();
  for (const element of waiting) {
    waiting.delete(element);
    await drawOnce(element);
    await pause();
  }
};
const watchPlots = () => {
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      waiting.add(target);
    }
    drawing = drawing.then(drawNext);
  }, { rootMargin: "300px" });
  for (const element of document.querySelectorAll(".plot")) watcher.observe(element);
};

// What a link leads to is unfolded.
const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  const folds = [...target.querySelectorAll(":scope > details.fold")];
  for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) folds.push(at);
  if (folds.every((fold) => fold.open)) return;
  for (const fold of folds) fold.open = true;
  target.scrollIntoView();
};
window.addEventListener("hashchange", unfold);
unfold();
document.addEventListener("click", (event) => {
  // A link to where one is already changes no address.
  if (event.target instanceof Element && event.target.closest("a[href^='#']")) setTimeout(unfold);
});

const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const setTheme = (dark) => {
  root.dataset.theme = dark ? "dark" : "light";
  for (const { element, source } of nsysan.drawn) drawPlot(element, source);
  for (const redraw of nsysan.onTheme) redraw();
};
setTheme(prefersDark.matches);
document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
prefersDark.addEventListener("change", (event) => setTheme(event.matches));

// Paper is light.
let before = "light";
const onPaper = (printing) => {
  if (printing === root.classList.contains("printing")) return;
  // Charts are drawn one after the other; paper does not wait for them.
  if (printing && nsysan.figures && typeof Plotly !== "undefined") {
    for (const element of document.querySelectorAll(".plot")) drawOnce(element);
  }
  root.classList.toggle("printing", printing);
  if (printing) before = root.dataset.theme;
  const timeline = document.getElementById("lanes");
  const drawn = [...nsysan.drawn.map(({ element }) => element), ...(timeline ? [timeline] : [])];
  for (const element of drawn) element.style.width = printing ? `${PAPER}px` : "";
  setTheme(!printing && before === "dark");
  for (const { element } of nsysan.drawn) Plotly.Plots.resize(element);
};
window.addEventListener("beforeprint", () => onPaper(true));
window.addEventListener("afterprint", () => onPaper(false));
