// Putting it together, and following runs that are still going where the page is served.
function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  if (select.selectedIndex < 0 && entries.length) select.selectedIndex = 0;
  return select.value;
}
function refreshRuns() {
  parAxes = parallelAxes();
  drawTable(); prepareCurves(); parPlot.redraw(); scatterPlot.redraw(); axisPlot.redraw();
}
function applyFilter() {
  const text = state.filter, told = $("filter-told");
  try {
    passes = compileFilter(text, knownKeys());
    told.textContent = ""; told.className = ""; $("filter").classList.remove("wrong");
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    // A half-typed filter keeps what was shown.
    told.textContent = `${error.message}; valid: words, or comparisons joined by and, or, not`; told.className = "wrong"; $("filter").classList.add("wrong");
    return;
  }
  refreshRuns();
}
function summary() {
  const runs = D.runs, count = (word) => runs.filter((run) => run.state === word).length;
  const states = ["failed", "running", "interrupted", "queued", "new"].map((word) => [count(word), word]).filter(([n]) => n);
  return `${runs.length} run${runs.length === 1 ? "" : "s"} in ${D.groups.length} configuration${D.groups.length === 1 ? "" : "s"}: ${[[count("done"), "done"], ...states].map(([n, word]) => `${n} ${word}`).join(", ")}. Written ${D.generated}.`;
}
function showSection() {
  ranges.clear(); state.zoom = null;
  const groups = sectionGroups(), metric = D.sort in D.info && info(D.sort).better ? D.sort : "val/nats";
  [...groups].filter((group) => group.est[metric]).sort((p, q) => p.est[metric][1] - q.est[metric][1]).forEach((group, i, all) => { group.rank = all.length > 1 ? i / (all.length - 1) : 0; });
  const logged = D.curves.filter((m) => D.runs.some((run) => run.section === state.section && run.curves[m]));
  state.metric = options($("metric"), logged.map((m) => [m, info(m).title === m ? m : `${info(m).title} (${m})`]), logged.includes(state.metric) ? state.metric : logged.includes("val/nats") ? "val/nats" : logged[0]);
  state.colour = options($("colour"), [["auto", "by configuration"], ...keysHere().map((k) => [k, `by ${D.headings[k]}`]), ...D.metrics.filter((m) => info(m).better).map((m) => [`metric:${m}`, `by final ${heading(m)}`])], state.colour);
  const results = [...new Set(D.runs.filter((run) => run.section === state.section).flatMap((run) => Object.keys(run.result)))];
  const choices = [...new Set([...D.metrics, ...results])].filter((m) => results.includes(m));
  state.parMetric = options($("par-metric"), choices.map((m) => [m, info(m).title]), choices.includes(state.parMetric) ? state.parMetric : choices.includes("val/nats") ? "val/nats" : choices[0]);
  state.axisKey = options($("axis-key"), keysHere().map((k) => [k, D.headings[k]]), keysHere().includes(state.axisKey) ? state.axisKey : keysHere()[0]) || undefined;
  fillRunChoices();
  applyFilter();
  drawRun();
}
function fill(data) {
  D = data; factsOf.clear(); ranges.clear();
  $("title").textContent = D.title; document.title = `${D.title} · avatarl`;
  $("summary").textContent = summary();
  $("warnings").replaceChildren(...D.warnings.map((warning) => h("li", {}, warning)));
  if (state.section >= D.sections.length) state.section = 0;
  options($("section"), D.sections.map((section, i) => [String(i), `${section.title} (${D.runs.filter((run) => run.section === i).length} runs)`]), String(state.section));
  $("section-choice").hidden = D.sections.length < 2;
  $("footer").textContent = D.footer;
  showSection();
}
function listen() {
  const on = (id, event, act) => $(id).addEventListener(event, act);
  let waiting = 0;
  on("filter", "input", (event) => { clearTimeout(waiting); waiting = setTimeout(() => { state.filter = event.target.value; applyFilter(); }, D.runs.length > 200 ? 200 : 30); });
  on("mode-groups", "click", () => { state.mode = "groups"; drawTable(); });
  on("mode-runs", "click", () => { state.mode = "runs"; drawTable(); });
  on("section", "change", (event) => { state.section = Number(event.target.value); state.brushes = {}; showSection(); });
  on("metric", "change", (event) => { state.metric = event.target.value; state.zoom = null; prepareCurves(); });
  on("lines", "change", (event) => { state.lines = event.target.value; prepareCurves(); });
  on("colour", "change", (event) => { state.colour = event.target.value; refreshRuns(); });
  on("smooth", "input", (event) => { state.smoothing = Number(event.target.value); $("smooth-told").textContent = state.smoothing ? state.smoothing.toFixed(2) : "off"; prepareCurves(); });
  on("log", "change", (event) => { state.log = event.target.checked; state.zoom = null; curvePlot.redraw(); });
  on("show-all", "click", () => { state.hidden.clear(); prepareCurves(); });
  on("show-none", "click", () => { for (const line of drawn) state.hidden.add(toggleKey(line)); prepareCurves(); });
  on("reset-zoom", "click", () => { state.zoom = null; curvePlot.redraw(); });
  on("par-metric", "change", (event) => { state.parMetric = event.target.value; state.brushes = {}; refreshRuns(); });
  on("axis-key", "change", (event) => { state.axisKey = event.target.value; axisPlot.redraw(); });
  on("clear-brush", "click", () => { state.brushes = {}; refreshRuns(); });
  on("run-a", "change", (event) => choose(event.target.value, false));
  on("run-b", "change", (event) => { state.b = event.target.value || null; drawRun(); });
  on("only-different", "change", (event) => { state.onlyDifferent = event.target.checked; drawRun(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { refreshRuns(); drawRun(); });
}
async function follow() {
  // Only a served page can follow its runs; one opened from a file stays as it was written.
  let version = D.version;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    try {
      const seen = await (await fetch("version")).text();
      if (seen === version) continue;
      fill(await decode(await (await fetch("data")).text()));
      version = D.version;
    } catch (error) { $("summary").textContent = `${summary()} The server has stopped: this page no longer follows the runs.`; }
  }
}
(async () => {
  const begun = performance.now();
  const data = await decode($("data").textContent);
  D = data;
  setUpCurves(); setUpAxes(); listen();
  fill(data);
  // For tests and the curious: what is on the page, read-only by convention.
  window.avatarl = { state, data: () => D, visibleRuns, tableRows, drawn: () => drawn, curvePlot: () => curvePlot, parPlot: () => parPlot, parAxes: () => parAxes, axisX, placeY, ready: performance.now(), took: performance.now() - begun };
  if (D.live) follow();
})();
