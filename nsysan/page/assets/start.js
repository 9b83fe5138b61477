// Text first, then the timeline, which needs nothing else, then the charts.
(async () => {
  try {
    const { figures, themed, template, report } = JSON.parse(new TextDecoder().decode(await unpacked("data")));
    if (report) {
      openSteps(report, new Uint8Array(await unpacked("columns")));
      startTimeline(report);
    }
    await pause();
    if (document.querySelector(".plot")) {
      await loadPlotly();
      Object.assign(nsysan, { figures, themed, template });
      watchPlots();
    }
    root.dataset.ready = "true";
  } catch (error) {
    const trouble = document.getElementById("trouble");
    trouble.textContent = `The charts could not be drawn (${error.message}); the tables hold their figures.`;
    trouble.hidden = false;
    root.dataset.ready = "failed";
  }
})();
