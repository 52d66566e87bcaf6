// Putting it together, and following runs that are still going where the page is served.
function refreshRuns() {
  parAxes = parallelAxes();
  // Many axes on a narrow screen scroll sideways rather than lie on each other.
  parPlot.box.style.minWidth = `${100 * parAxes.length}px`;
  drawTable();
  prepareCurves();
  for (const plot of [parPlot, scatterPlot, axisPlot]) plot.redraw();
}

function applyFilter() {
  const hint = $("filter-told");
  const mark = (text) => {
    hint.textContent = text;
    hint.className = text ? "wrong" : "";
    $("filter").classList.toggle("wrong", Boolean(text));
  };
  try {
    passes = compileFilter(state.filter);
    mark("");
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    // A half-typed filter keeps what was shown.
    mark(`${error.message}; valid: words, or comparisons joined by and, or, not`);
    return;
  }
  refreshRuns();
}

function showSection() {
  ranges.clear();
  state.zoom = null;
  state.x ??= D.axis;
  const runs = sectionRuns(), keys = keyColumns().map(({ name, heading }) => [name, heading]);
  const titled = (metric) => [metric, info(metric).title];
  // What was chosen before, if it is still there; else the usual one, else the first.
  const pick = (id, entries, chosen, usual) => {
    const names = entries.map(([name]) => name);
    const kept = [chosen, usual].find((name) => names.includes(name)) ?? names[0];
    return fillOptions($(id), entries, kept) || undefined;
  };
  const logged = D.curves.filter((metric) => runs.some((run) => run.curves[metric]));
  const measured = new Set(runs.flatMap((run) => Object.keys(run.result)));
  const results = [...new Set([...D.metrics, ...measured])].filter((m) => measured.has(m));
  const telling = D.metrics.filter((metric) => info(metric).better);
  const curves = logged.map((metric) => {
    const { title } = info(metric);
    return [metric, title === metric ? title : `${title} (${metric})`];
  });
  const colours = [
    ["auto", "by configuration"], ...keys.map(([name, heading]) => [name, `by ${heading}`]),
    ...telling.map((metric) => [`metric:${metric}`, `by final ${heading(metric)}`]),
  ];
  const [first, ...more] = state.metrics.filter((metric) => logged.includes(metric));
  const shown = pick("metric", curves, first, "val/nats");
  state.metrics = shown ? [shown, ...more.filter((metric) => metric !== shown)] : [];
  fillOptions($("add-metric"), [["", "add…"], ...curves], "");
  state.x = pick("x", Object.entries(D.axes), state.x, D.axis);
  state.colour = pick("colour", colours, state.colour, "auto");
  state.parMetric = pick("par-metric", results.map(titled), state.parMetric, "val/nats");
  state.axisKey = pick("axis-key", keys, state.axisKey);
  // A run alone differs from nothing.
  const beside = ["run-b", "only-different"].map((id) => $(id).closest("label"));
  for (const part of [$("axes"), $("to-axes"), ...beside]) part.hidden = runs.length < 2;
  fillRunChoices();
  fillSearch();
  fillGame();
  applyFilter();
  drawRun();
}

function fill(data) {
  D = data;
  factsOf.clear();
  $("title").textContent = D.title;
  document.title = `${D.title} · avatarl`;
  $("summary").textContent = `${D.summary} Written ${D.generated}.`;
  $("warnings").replaceChildren(...D.warnings.map((warning) => h("li", {}, warning)));
  if (state.section >= D.sections.length) state.section = 0;
  const count = (i) => D.runs.filter((run) => run.section === i).length;
  const sections = D.sections.map(({ title }, i) => [String(i), `${title} (${count(i)} runs)`]);
  fillOptions($("section"), sections, String(state.section));
  $("section-choice").hidden = D.sections.length < 2;
  $("footer").textContent = D.footer;
  showSection();
}

function listen() {
  const on = (id, event, act) => $(id).addEventListener(event, ({ target }) => act(target));
  let waiting = 0;
  on("filter", "input", ({ value }) => {
    clearTimeout(waiting);
    const filter = () => {
      state.filter = value;
      applyFilter();
    };
    waiting = setTimeout(filter, D.runs.length > 200 ? 200 : 30);
  });
  for (const mode of ["groups", "runs"]) {
    on(`mode-${mode}`, "click", () => {
      state.mode = mode;
      drawTable();
    });
  }
  on("section", "change", ({ value }) => {
    state.section = Number(value);
    Object.assign(state, { brushes: {}, sort: null });
    showSection();
  });
  on("metric", "change", ({ value }) => {
    const [, ...others] = state.metrics;
    Object.assign(state, { metrics: [...new Set([value, ...others])], zoom: null });
    prepareCurves();
  });
  on("add-metric", "change", (select) => {
    state.metrics = [...new Set([...state.metrics, select.value])].filter(Boolean);
    select.value = "";
    prepareCurves();
  });
  on("x", "change", ({ value }) => {
    Object.assign(state, { x: value, zoom: null });
    prepareCurves();
    drawRun();
  });
  on("lines", "change", ({ value }) => {
    state.lines = value;
    prepareCurves();
  });
  on("colour", "change", ({ value }) => {
    state.colour = value;
    refreshRuns();
  });
  on("smooth", "input", ({ value }) => {
    state.smoothing = Number(value);
    tellSmoothing();
    prepareCurves();
  });
  on("log", "change", ({ checked }) => {
    state.log = checked;
    zoomTo();
  });
  on("show-all", "click", () => {
    state.hidden.clear();
    prepareCurves();
  });
  on("show-none", "click", () => {
    for (const line of drawn) state.hidden.add(toggleKey(line));
    prepareCurves();
  });
  on("reset-zoom", "click", () => zoomTo());
  on("par-metric", "change", ({ value }) => {
    Object.assign(state, { parMetric: value, brushes: {} });
    refreshRuns();
  });
  on("axis-key", "change", ({ value }) => {
    state.axisKey = value;
    axisPlot.redraw();
  });
  on("clear-brush", "click", () => {
    state.brushes = {};
    refreshRuns();
  });
  on("run-a", "change", ({ value }) => choose(value, false));
  on("run-b", "change", ({ value }) => {
    state.b = value || null;
    drawRun();
  });
  on("game-run", "change", ({ value }) => {
    state.game = value;
    drawGame();
  });
  on("only-different", "change", ({ checked }) => {
    state.onlyDifferent = checked;
    drawRun();
  });
  on("csv", "click", () => save(`${D.title.replace(/[^\w-]+/g, "-")}.csv`,
    new Blob([tableCsv()], { type: "text/csv" })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  addEventListener("hashchange", readAddress);
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", goTo);
  // Whatever was done, the address follows.
  let later = 0;
  for (const event of ["input", "change", "click", "keyup", "pointerup", "dblclick"]) {
    document.addEventListener(event, () => {
      clearTimeout(later);
      later = setTimeout(writeAddress, 300);
    });
  }
}
const tellSmoothing = () => {
  $("smooth-told").textContent = state.smoothing ? state.smoothing.toFixed(2) : "off";
};
// The address is taken by what is shown, so these links move without it.
function goTo(event) {
  const part = document.querySelector(event.currentTarget.getAttribute("href"));
  event.preventDefault();
  part.scrollIntoView({ behavior: "smooth", block: "start" });
  part.focus({ preventScroll: true });
}
function repaint() {
  refreshRuns();
  bestPlot?.redraw();
  drawRun();
}
// On paper everything is dark on light, whatever the screen's scheme.
const printing = () => document.documentElement.dataset.paper === "true";
function paper(on) {
  document.documentElement.dataset.paper = on;
  repaint();
  asDrawings(on);
}

// Only a served page can follow its runs; one opened from a file stays as it was written.
async function follow() {
  const ask = async (path) => (await fetch(path)).text();
  for (let version = D.version; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    try {
      if (await ask("version") === version) continue;
      fill(await decode(await ask("data")));
      version = D.version;
    } catch (error) {
      $("summary").textContent = `${D.summary} Written ${D.generated}. The server has stopped: `
        + "this page no longer follows the runs.";
    }
  }
}

(async () => {
  const begun = performance.now();
  const data = await decode($("data").textContent);
  setUpParallel();
  setUpScatter();
  listen();
  fill(data);
  rememberUsual();
  readAddress();
  // For tests and the curious: what is on the page, read-only by convention.
  window.avatarl = {
    state, visibleRuns, tableRows, axisX, placeY, took: performance.now() - begun,
    data: () => D, drawn: () => drawn, parAxes: () => parAxes,
    panels: () => panels, curvePlot: () => panels[0].plot, parPlot: () => parPlot,
    searchPlot: () => bestPlot,
  };
  if (D.live) follow();
})();
