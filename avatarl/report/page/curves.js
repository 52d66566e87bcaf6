// Learning curves: what lines there are, and their pictures, one metric beside the other.
let panels = [], drawn = [];

// A line a run, or a configuration's mean with a thin line for each run that isn't done.
function curveLines(metric) {
  const runs = visibleRuns(), kept = new Set(runs.map((run) => run.id));
  if (state.lines === "runs") {
    return runs.map((run) => ({
      run, title: run.title, colour: colourOf(run), final: run.result[metric],
      dash: run.state === "done" ? DASHES["-"] : DASHES[":"],
    }));
  }
  return sectionGroups().flatMap((group) => {
    const members = membersOf(group).filter((run) => kept.has(run.id));
    if (!members.length) return [];
    return [{
      group, members, title: group.name, colour: colourOf(members[0]),
      dash: dashOf(group), final: groupEstimate(group, metric, kept)?.[1],
    }];
  });
}
function smoothed(run, metric) {
  const curve = curveOf(run, metric);
  return curve ? [curve[0], smooth(curve[1], state.smoothing)] : null;
}
function partsOf(line, metric) {
  const single = (run, dash, unfinished) => {
    const curve = smoothed(run, metric);
    return curve ? [{ xs: curve[0], ys: curve[1], run, dash, unfinished }] : [];
  };
  if (line.run) return single(line.run, line.dash, false);
  const open = line.members.filter((run) => run.state !== "done");
  const parts = open.flatMap((run) => single(run, DASHES[":"], true));
  if (line.band) {
    const run = line.members.find(({ state }) => state === "done");
    parts.unshift({ xs: line.band.xs, ys: line.band.mean, run, dash: line.dash });
  }
  return parts;
}
function prepareCurves() {
  arrangePanels();
  for (const panel of panels) {
    const { metric } = panel, better = info(metric).better || -1;
    panel.lines = curveLines(metric);
    panel.lines.sort((a, b) =>
      finite(a.final) && finite(b.final)
        ? better * (b.final - a.final)
        : finite(b.final) - finite(a.final));
    for (const line of panel.lines) {
      line.off = state.hidden.has(toggleKey(line));
      if (line.members) line.band = band(line.members, metric);
      line.parts = partsOf(line, metric);
    }
  }
  drawn = panels[0].lines;
  drawLegend();
  for (const { plot } of panels) plot.redraw();
}
// As many panels as metrics; the first is always there.
function arrangePanels() {
  while (panels.length > Math.max(1, state.metrics.length)) {
    const { plot, figure } = panels.pop();
    plots.delete(plot);
    figure.remove();
  }
  while (panels.length < Math.max(1, state.metrics.length)) panels.push(makePanel(panels.length));
  $("curve-plots").classList.toggle("several", panels.length > 1);
  panels.forEach((panel, i) => {
    panel.metric = state.metrics[i] ?? null;
    panel.title.textContent = info(panel.metric).title;
  });
}
function makePanel(place) {
  const panel = { metric: null, lines: [], cursor: null, title: h("span") };
  const remove = () => {
    state.metrics = state.metrics.filter((metric) => metric !== panel.metric);
    prepareCurves();
    $("add-metric").focus();
  };
  const box = h("div", { class: "plot", id: place ? `curve-plot-${place + 1}` : "curve-plot" });
  panel.figure = h("figure", {},
    h("figcaption", {}, panel.title,
      place ? h("button", { type: "button", onclick: remove }, "Remove") : null),
    box);
  $("curve-plots").append(panel.figure);
  panel.plot = new Plot(box, (plot) => drawCurves(panel, plot), {
    name: () => panel.metric ?? "curves",
    label: () => curvesLabel(panel), behind: () => curvesTable(panel),
    legend: () => shownLines(panel), keys: curveKeys(panel),
  });
  listenToPointer(panel);
  return panel;
}
const shownLines = (panel) => panel.lines.filter((line) => !line.off && line.parts.length);
function curvesLabel(panel) {
  const lines = shownLines(panel), best = lines.find((line) => finite(line.final));
  return `${info(panel.metric).title} over ${axisTitle()}, ${lines.length} lines`
    + (best ? `; best: ${best.title}, ${show(best.final)}` : "");
}
function curvesTable(panel) {
  const head = ["line", "points", "first", "least", "most", "last", `at ${axisTitle()}`, "final"];
  const row = (line, { xs, ys, run, unfinished }) => [
    unfinished ? `${line.title}, seed ${show(run.seed)} ${run.told}` : line.title, xs.length,
    ys[0], Math.min(...ys), Math.max(...ys), ys.at(-1), xs.at(-1), unfinished ? null : line.final,
  ];
  return [head, shownLines(panel).flatMap((line) => line.parts.map((part) => row(line, part)))];
}

function limits({ metric }, lines, log) {
  const parts = lines.flatMap((line) => line.parts), values = [], zoom = state.zoom;
  const end = Math.max(0, ...parts.map(({ xs }) => xs[xs.length - 1]));
  const xs = zoom?.xs ?? [0, end * 1.008 || 1];
  if (zoom?.ys && zoom.metric === metric) return { xs, ys: zoom.ys };
  // Every curve falls alike from the top; the first twentieth would flatten what differs.
  const from = zoom ? xs[0] : info(metric).better < 0 ? end / 20 : 0;
  if (metric?.startsWith("val/") && !zoom) {
    const ended = lines.filter((line) => line.parts.some((part) => !part.unfinished));
    values.push(...ended.map((line) => line.final).filter(finite));
  }
  let [low, high] = [Math.min(Infinity, ...values), Math.max(-Infinity, ...values)];
  for (const part of parts) {
    for (let i = Math.min(firstFrom(part.xs, from), part.ys.length - 1); i < part.ys.length; i++) {
      if (part.xs[i] > xs[1]) break;
      low = Math.min(low, part.ys[i]);
      high = Math.max(high, part.ys[i]);
    }
  }
  const ys = low <= high ? extent([low, high]) : [0, 1];
  if (log && ys[0] <= 0) ys[0] = low * 0.95;
  return { xs, ys };
}

function drawCurves(panel, plot) {
  const pen = plot.begin(), { metric } = panel, lines = shownLines(panel);
  const positive = (line) => line.parts.every((part) => part.ys.every((y) => y > 0));
  const log = state.log && lines.every(positive);
  const { xs, ys } = limits(panel, lines, log);
  plot.scales(xs, ys, { y: log ? LOG : LINEAR });
  plot.axes(axisTitle(), info(metric).title);
  plot.levels(metric);
  plot.clipped(() => {
    for (const line of lines) drawBand(plot, line, log ? ys[0] : -Infinity);
    for (const line of lines) drawLine(plot, line, lines.length > 60);
    for (const line of lines) drawFinal(plot, line, lines.length > 60);
  });
  if (!lines.length) {
    pen.fillStyle = css("--soft");
    const why = panel.lines.some((line) => line.parts.length)
      ? "nothing to draw: no line is switched on"
      : `nothing to draw: no run logged this metric with its ${axisTitle()}`;
    plot.text(why, plot.width / 2, plot.height / 2, "center");
  }
  plot.canvas.dataset.lines = lines.length;
  $("reset-zoom").disabled = !state.zoom;
  $("sampled").hidden = !state.metrics.some((one) => one.startsWith("val/"));
  $("thinned").hidden = !sectionRuns().some((run) => state.metrics.some((m) => run.curves[m]?.[2]));
}
function drawBand(plot, { band, colour }, floor) {
  if (!band?.low) return;
  const pen = plot.pen, { xs, low, high } = band;
  pen.globalAlpha = 0.14;
  pen.fillStyle = colour;
  pen.beginPath();
  xs.forEach((x, i) => pen.lineTo(plot.x(x), plot.y(Math.max(low[i], floor))));
  for (let i = xs.length - 1; i >= 0; i--) pen.lineTo(plot.x(xs[i]), plot.y(high[i]));
  pen.fill();
  pen.globalAlpha = 1;
}
function drawLine(plot, { parts, colour }, many) {
  const pen = plot.pen;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.globalAlpha = many ? 0.55 : 1;
  for (const { xs, ys, dash, unfinished } of parts) {
    pen.lineWidth = many ? 0.8 : unfinished ? 1.1 : 1.7;
    pen.setLineDash(dash);
    plot.line(pen, xs, ys);
    if (xs.length > 1) continue;
    disc(pen, plot.x(xs[0]), plot.y(ys[0]), 3);
    pen.fill();
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}
// The curve is of a sample of the held-out text, the final number of all of it.
function drawFinal(plot, line, many) {
  const end = line.parts.find((part) => !part.unfinished), pen = plot.pen;
  if (!finite(line.final) || !end || (line.run && line.run.state !== "done")) return;
  pen.fillStyle = line.colour;
  pen.globalAlpha = many ? 0.7 : 1;
  disc(pen, plot.x(end.xs[end.xs.length - 1]), plot.y(line.final), many ? 2 : 3.5);
  pen.fill();
  pen.globalAlpha = 1;
}

const LEGEND = 300;
function drawLegend() {
  const more = drawn.length - LEGEND;
  refill($("legend"),
    ...drawn.slice(0, LEGEND).map(legendEntry),
    more > 0 ? h("p", { class: "hint" }, `and ${more} more; filter to choose`) : "",
  );
}
function legendEntry(line) {
  const key = toggleKey(line);
  const toggle = (event) => {
    state.hidden[event.target.checked ? "delete" : "add"](key);
    prepareCurves();
  };
  const digits = Math.min(3, info(state.metrics[0]).digits);
  const missing = line.parts.length ? "" : "no data";
  const over = () => emphasise(line.off ? null : key), out = () => emphasise(null);
  const attributes = {
    class: line.off ? "off" : null, "data-line": key,
    onmouseenter: over, onmouseleave: out, onfocusin: over, onfocusout: out,
  };
  return h("label", attributes,
    h("input", { type: "checkbox", checked: !line.off, onchange: toggle }),
    swatch(line.colour, line.dash),
    h("span", { class: "txt" }, line.title),
    h("span", { class: "val" }, finite(line.final) ? number(line.final, digits) : missing));
}
