// Parallel coordinates over the swept keys, accuracy against calibration, a metric against one key.
let parPlot = null, scatterPlot = null, axisPlot = null, parAxes = [], parLines = [], scatterPoints = [], axisPoints = [];

function parallelAxes() {
  const runs = sectionRuns(), made = [];
  const add = (key, read, title) => {
    const values = runs.map(read).filter((x) => x !== undefined && x !== null);
    if (!values.length) return;
    const words = [...new Set(values.map(show))].sort(natural);
    if (words.length < 2 && key !== state.parMetric) return;
    if (values.every((x) => typeof x === "number")) {
      const [low, high] = extent(values, 0), log = low > 0 && high / low >= 50, level = log ? Math.log : (x) => x;
      const flip = info(key).better < 0 && key === state.parMetric;
      made.push({ key, title, read, place: (x) => typeof x !== "number" ? null : high === low ? 0.5 : flip ? 1 - (level(x) - level(low)) / (level(high) - level(low)) : (level(x) - level(low)) / (level(high) - level(low)), marks: words.length <= 8 && !key.includes("/") && key !== state.parMetric ? words.map((w) => [Number(w), w]) : ticks(low, high, 5, log).map((t) => [t, brief(t)]) });
    } else made.push({ key, title, read, place: (x) => x === undefined || x === null ? null : words.length < 2 ? 0.5 : words.indexOf(show(x)) / (words.length - 1), marks: words.slice(0, 40).map((w) => [w, w]), words: true });
  };
  for (const key of keysHere()) add(key, (run) => value(run, key) ?? undefined, D.headings[key]);
  if (keysHere().length < 6) add("seed", (run) => run.seed ?? undefined, "seed");
  for (const metric of [...new Set([state.parMetric, ...D.metrics.filter((m) => info(m).better).slice(0, 3)])]) add(metric, (run) => run.result[metric], heading(metric));
  return made;
}
function inBrushes(run) {
  return Object.entries(state.brushes).every(([key, [low, high]]) => {
    const axis = parAxes.find((one) => one.key === key);
    if (!axis) return true;
    const place = axis.place(axis.read(run));
    return place !== null && place >= low - 1e-9 && place <= high + 1e-9;
  });
}
const axisX = (i) => parAxes.length > 1 ? parPlot.inner.x0 + i * (parPlot.inner.x1 - parPlot.inner.x0) / (parAxes.length - 1) : (parPlot.inner.x0 + parPlot.inner.x1) / 2;
const placeY = (t) => parPlot.inner.y0 - t * (parPlot.inner.y0 - parPlot.inner.y1);
function drawParallel() {
  const pen = parPlot.begin();
  const runs = filteredRuns();
  parLines = runs.map((run) => ({ run, kept: inBrushes(run), points: parAxes.map((axis, i) => { const t = axis.place(axis.read(run)); return t === null ? null : [axisX(i), placeY(t)]; }) }));
  parLines.sort((a, b) => a.kept - b.kept);
  for (const line of parLines) {
    pen.strokeStyle = line.kept ? metricColour(line.run, state.parMetric) : css("--line");
    pen.globalAlpha = line.kept ? (runs.length > 150 ? 0.35 : 0.8) : 0.3; pen.lineWidth = line.kept ? 1.5 : 1;
    pen.setLineDash(line.run.state === "done" ? [] : [2, 4]);
    strokePoints(pen, line.points);
  }
  pen.globalAlpha = 1; pen.setLineDash([]);
  parAxes.forEach((axis, i) => {
    const x = axisX(i), { y0, y1 } = parPlot.inner;
    pen.strokeStyle = css("--soft"); pen.lineWidth = 1; pen.beginPath(); pen.moveTo(x, y0); pen.lineTo(x, y1); pen.stroke();
    const brush = state.brushes[axis.key];
    if (brush) { pen.fillStyle = css("--accent"); pen.globalAlpha = 0.3; pen.fillRect(x - 7, placeY(brush[1]), 14, placeY(brush[0]) - placeY(brush[1])); pen.globalAlpha = 1; }
    pen.font = "12px system-ui, 'DejaVu Sans', sans-serif"; pen.textBaseline = "middle"; pen.textAlign = i === parAxes.length - 1 ? "left" : "right";
    for (const [mark, text] of axis.marks) {
      const y = placeY(axis.place(mark)), wide = Math.min(pen.measureText(text).width, 90);
      const left = i === parAxes.length - 1 ? x + 8 : x - 8 - wide;
      pen.fillStyle = css("--card"); pen.globalAlpha = 0.75; pen.fillRect(left - 1, y - 7, wide + 2, 14); pen.globalAlpha = 1;
      pen.fillStyle = css("--soft"); pen.fillText(text, i === parAxes.length - 1 ? x + 8 : x - 8, y, 90);
    }
    pen.fillStyle = css("--ink"); pen.textAlign = "center"; pen.textBaseline = "bottom"; pen.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillText(axis.title, x, y1 - 10, 150);
  });
  if (!parAxes.length) { pen.fillStyle = css("--soft"); pen.textAlign = "center"; pen.fillText("these runs differ in nothing but their seeds", parPlot.width / 2, parPlot.height / 2); }
  parPlot.canvas.dataset.kept = parLines.filter((line) => line.kept).length;
  $("clear-brush").disabled = !Object.keys(state.brushes).length;
}
function strokePoints(pen, points) {
  let down = false;
  pen.beginPath();
  for (const point of points) { if (!point) { down = false; continue; } if (down) pen.lineTo(...point); else pen.moveTo(...point); down = true; }
  pen.stroke();
}
function setUpParallel() {
  parPlot = new Plot($("par-plot"));
  parPlot.margin = { left: 90, right: 90, top: 38, bottom: 14 };
  parPlot.draw = drawParallel;
  let brush = null;
  const at = (event) => { const box = parPlot.over.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const share = (y) => Math.max(0, Math.min(1, (parPlot.inner.y0 - y) / (parPlot.inner.y0 - parPlot.inner.y1)));
  parPlot.over.addEventListener("mousedown", (event) => {
    const [x, y] = at(event);
    const i = parAxes.findIndex((_, index) => Math.abs(axisX(index) - x) < 22);
    if (i >= 0) { brush = { key: parAxes[i].key, from: y }; event.preventDefault(); }
  });
  parPlot.over.addEventListener("mousemove", (event) => {
    const [x, y] = at(event);
    if (brush) { state.brushes[brush.key] = [Math.min(share(brush.from), share(y)), Math.max(share(brush.from), share(y))]; parPlot.redraw(); return; }
    let best = null, least = 10;
    for (const line of parLines) if (line.kept) for (let i = 0; i + 1 < line.points.length; i++) {
      const [p, q] = [line.points[i], line.points[i + 1]];
      if (!p || !q || x < p[0] || x > q[0]) continue;
      const away = Math.abs(p[1] + (q[1] - p[1]) * (x - p[0]) / (q[0] - p[0]) - y);
      if (away < least) { least = away; best = line; }
    }
    const pen = parPlot.clearOver();
    if (!best) { parPlot.tell(); parPlot.hovered = null; return; }
    parPlot.hovered = best.run;
    pen.strokeStyle = css("--accent"); pen.lineWidth = 3; strokePoints(pen, best.points);
    parPlot.tell(x, y, h("strong", {}, runName(best.run)), h("br"), `${heading(state.parMetric)} ${number(best.run.result[state.parMetric], info(state.parMetric).digits)}`);
  });
  addEventListener("mouseup", (event) => {
    if (!brush) return;
    const [, y] = at(event);
    if (Math.abs(y - brush.from) < 4) delete state.brushes[brush.key];
    brush = null;
    refreshRuns();
  });
  parPlot.over.addEventListener("click", () => { if (parPlot.hovered) choose(parPlot.hovered.id); });
  parPlot.over.addEventListener("mouseleave", () => { parPlot.clearOver(); parPlot.tell(); });
}
function points(plot, list, found) {
  plot.over.addEventListener("mousemove", (event) => {
    const box = plot.over.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const near = list().reduce((best, point) => { const away = Math.hypot(point.px - x, point.py - y); return away < (best?.away ?? 14) ? { ...point, away } : best; }, null);
    const pen = plot.clearOver();
    plot.near = near;
    if (!near) { plot.tell(); return; }
    pen.strokeStyle = css("--ink"); pen.lineWidth = 1.5; pen.beginPath(); pen.arc(near.px, near.py, 6.5, 0, 7); pen.stroke();
    plot.tell(near.px, near.py, h("strong", {}, runName(near.run)), h("br"), found(near));
  });
  plot.over.addEventListener("click", () => { if (plot.near) choose(plot.near.run.id); });
  plot.over.addEventListener("mouseleave", () => { plot.clearOver(); plot.tell(); });
}
function dot(pen, point) { pen.beginPath(); if (point.run.control) pen.rect(point.px - 4, point.py - 4, 8, 8); else pen.arc(point.px, point.py, 4, 0, 7); pen.fillStyle = point.colour; pen.globalAlpha = 0.8; pen.fill(); pen.globalAlpha = 1; }
function drawScatter() {
  const pen = scatterPlot.begin();
  const runs = visibleRuns().filter((run) => run.state === "done" && finite(run.result["val/ece"]) && finite(run.result["val/accuracy"]));
  const xs = extent([0, ...runs.map((run) => run.result["val/ece"])]);
  scatterPlot.scales([0, xs[1]], runs.length ? extent(runs.map((run) => run.result["val/accuracy"]), 0.1) : [0, 1]);
  scatterPlot.axes(info("val/ece").title, info("val/accuracy").title);
  scatterPlot.levels(D.sections[state.section].levels, "val/accuracy", D.level_names);
  if (scatterPlot.xs[1] > 0.05) { const x = scatterPlot.x(0.05); pen.setLineDash([2, 3]); pen.strokeStyle = css("--warn"); pen.beginPath(); pen.moveTo(x, scatterPlot.inner.y0); pen.lineTo(x, scatterPlot.inner.y1); pen.stroke(); pen.setLineDash([]); pen.fillStyle = css("--warn"); pen.textAlign = "left"; pen.textBaseline = "top"; pen.fillText("alarm", x + 3, scatterPlot.inner.y1); }
  scatterPoints = runs.map((run) => ({ run, px: scatterPlot.x(run.result["val/ece"]), py: scatterPlot.y(run.result["val/accuracy"]), colour: colourOf(run) }));
  for (const point of scatterPoints) dot(pen, point);
}
function drawAxis() {
  const pen = axisPlot.begin(), key = state.axisKey, metric = state.parMetric;
  $("axis-caption").textContent = key ? `Final ${info(metric).title} against ${D.headings[key] ?? key}` : "No key is swept";
  const runs = visibleRuns().filter((run) => run.state === "done" && finite(run.result[metric]) && value(run, key) !== undefined);
  const words = [...new Set(runs.map((run) => word(run, key)))].sort(natural);
  const numeric = runs.every((run) => typeof value(run, key) === "number");
  const place = numeric ? (run) => value(run, key) : (run) => words.indexOf(word(run, key));
  const xs = numeric ? extent(runs.map(place), 0.08) : [-0.5, Math.max(0.5, words.length - 0.5)];
  axisPlot.scales(xs, runs.length ? extent(runs.map((run) => run.result[metric]), 0.08) : [0, 1]);
  axisPlot.axes(D.headings[key] ?? key ?? "", info(metric).title, { xTicks: numeric && words.length > 8 ? null : words.map((w, i) => [numeric ? Number(w) : i, w]) });
  axisPlot.levels(D.sections[state.section].levels, metric, D.level_names);
  axisPoints = runs.map((run, i) => ({ run, px: axisPlot.x(place(run)) + (numeric ? 0 : ((i * 7) % 11 - 5) * 1.6), py: axisPlot.y(run.result[metric]), colour: colourOf(run) }));
  for (const point of axisPoints) dot(pen, point);
}
function setUpAxes() {
  setUpParallel();
  scatterPlot = new Plot($("scatter-plot")); scatterPlot.draw = drawScatter;
  points(scatterPlot, () => scatterPoints, (near) => `accuracy ${number(near.run.result["val/accuracy"])} · calibration error ${number(near.run.result["val/ece"])}`);
  axisPlot = new Plot($("axis-plot")); axisPlot.draw = drawAxis;
  points(axisPlot, () => axisPoints, (near) => `${heading(state.parMetric)} ${number(near.run.result[state.parMetric], info(state.parMetric).digits)}`);
}
