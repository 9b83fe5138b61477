"use strict";
(() => {
  const root = document.documentElement;
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (dark) => { root.dataset.theme = dark ? "dark" : "light"; };
  const colours = () => {
    const style = getComputedStyle(root);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    return { ink, line };
  };
  const themed = () => {
    const { ink, line } = colours();
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
    return { axis, layout: { "font.color": ink, "legend.font.color": ink } };
  };
  const axes = (layout) => ["xaxis", "yaxis", ...Object.keys(layout).filter((name) => /^[xy]axis\d+$/.test(name))];
  const plots = [...document.querySelectorAll(".plot")];
  const draw = (element) => {
    const figure = JSON.parse(document.getElementById(element.dataset.figure).textContent);
    const { ink } = colours();
    const { axis } = themed();
    const layout = figure.layout;
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      margin: { l: 10, r: 10, t: 10, b: 45 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hoverlabel: { namelength: -1, align: "left" },
    });
    for (const name of axes(layout)) {
      layout[name] = { ...(name.startsWith("y") && { automargin: true }), ...layout[name], ...axis };
    }
    return Plotly.newPlot(element, figure.data, layout, {
      responsive: true, displaylogo: false, scrollZoom: element.dataset.zoom === "x",
    });
  };
  const retheme = () => {
    const { axis, layout } = themed();
    for (const element of plots) {
      const update = { ...layout };
      for (const name of axes(element.layout)) for (const key of Object.keys(axis)) update[`${name}.${key}`] = axis[key];
      Plotly.relayout(element, update);
    }
  };
  setTheme(prefersDark.matches);
  document.getElementById("theme").addEventListener("click", () => { setTheme(root.dataset.theme !== "dark"); retheme(); });
  prefersDark.addEventListener("change", (event) => { setTheme(event.matches); retheme(); });
  Promise.all(plots.map(draw)).then(() => { root.dataset.ready = "true"; });
})();
