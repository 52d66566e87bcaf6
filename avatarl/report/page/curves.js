// Learning curves: what lines there are, and their picture.
let curvePlot = null, drawn = [];

// A line a run, or a configuration's mean with a thin line for each run that isn't done.
function curveLines() {
  const runs = visibleRuns(), kept = new Set(runs.map((run) => run.id));
  if (state.lines === "runs") {
    return runs.map((run) => ({
      run, title: run.title, colour: colourOf(run), final: run.result[state.metric],
      dash: run.state === "done" ? DASHES["-"] : DASHES[":"],
    }));
  }
  return sectionGroups().flatMap((group) => {
    const members = membersOf(group).filter((run) => kept.has(run.id));
    if (!members.length) return [];
    return [{
      group, members, title: group.name, colour: colourOf(members[0]),
      dash: DASHES[group.look.dash] ?? [],
      final: groupEstimate(group, state.metric, kept)?.[1],
    }];
  });
}
function smoothed(run) {
  const curve = run.curves[state.metric];
  return curve ? [curve[0], smooth(curve[1], state.smoothing)] : null;
}
function partsOf(line) {
  const single = (run, dash, unfinished) => {
    const curve = smoothed(run);
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
  drawn = curveLines();
  const better = info(state.metric).better || -1;
  drawn.sort((a, b) =>
    finite(a.final) && finite(b.final)
      ? better * (b.final - a.final)
      : finite(b.final) - finite(a.final));
  for (const line of drawn) {
    line.off = state.hidden.has(toggleKey(line));
    if (line.members) line.band = band(line.members);
    line.parts = partsOf(line);
  }
  drawLegend();
  curvePlot.redraw();
}

function limits(lines, log) {
  const parts = lines.flatMap((line) => line.parts), values = [];
  const end = Math.max(0, ...parts.map(({ xs }) => xs[xs.length - 1]));
  // Every curve falls alike from the top; the first twentieth would flatten what differs.
  const late = info(state.metric).better < 0 ? end / 20 : 0;
  if (state.metric?.startsWith("val/")) {
    const ended = lines.filter((line) => line.parts.some((part) => !part.unfinished));
    values.push(...ended.map((line) => line.final).filter(finite));
  }
  let [low, high] = [Math.min(Infinity, ...values), Math.max(-Infinity, ...values)];
  for (const { xs, ys } of parts) {
    for (let i = Math.min(firstFrom(xs, late), ys.length - 1); i < ys.length; i++) {
      low = Math.min(low, ys[i]);
      high = Math.max(high, ys[i]);
    }
  }
  const ys = low <= high ? extent([low, high]) : [0, 1];
  if (log && ys[0] <= 0) ys[0] = low * 0.95;
  return { xs: [0, end * 1.008 || 1], ys };
}

function drawCurves(plot) {
  const pen = plot.begin();
  const lines = drawn.filter((line) => !line.off && line.parts.length);
  const positive = (line) => line.parts.every((part) => part.ys.every((y) => y > 0));
  const log = state.log && lines.every(positive);
  const { xs, ys } = state.zoom ?? limits(lines, log);
  plot.scales(xs, ys, log);
  plot.axes(D.axis, info(state.metric).title);
  plot.levels(state.metric);
  plot.clipped(() => {
    for (const line of lines) drawBand(plot, line, log ? ys[0] : -Infinity);
    for (const line of lines) drawLine(plot, line, lines.length > 60);
    for (const line of lines) drawFinal(plot, line, lines.length > 60);
  });
  if (!lines.length) {
    pen.fillStyle = css("--soft");
    const why = "nothing to draw: no line is switched on, or none logged this metric";
    plot.text(why, plot.width / 2, plot.height / 2, "center");
  }
  plot.canvas.dataset.lines = lines.length;
  $("reset-zoom").disabled = !state.zoom;
  $("sampled").hidden = !state.metric?.startsWith("val/");
  $("thinned").hidden = !sectionRuns().some((run) => run.curves[state.metric]?.[2]);
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
const borderStyle = (dash) =>
  dash === DASHES[":"] ? "dotted" : dash.length ? "dashed" : "solid";
function drawLegend() {
  const box = $("legend"), scrolled = box.scrollTop, more = drawn.length - LEGEND;
  box.replaceChildren(
    ...drawn.slice(0, LEGEND).map(legendEntry),
    more > 0 ? h("p", { class: "hint" }, `and ${more} more; filter to choose`) : "",
  );
  box.scrollTop = scrolled;
}
function legendEntry(line) {
  const toggle = (event) => {
    state.hidden[event.target.checked ? "delete" : "add"](toggleKey(line));
    prepareCurves();
  };
  const border = { borderTopColor: line.colour, borderTopStyle: borderStyle(line.dash) };
  const digits = Math.min(3, info(state.metric).digits);
  const missing = line.parts.length ? "" : "no data";
  const attributes = {
    class: line.off ? "off" : null, "data-line": toggleKey(line),
    onmouseenter: () => { if (!line.off) emphasise(line); }, onmouseleave: () => emphasise(null),
  };
  return h("label", attributes,
    h("input", { type: "checkbox", checked: !line.off, onchange: toggle }),
    h("span", { class: "swatch", style: border }),
    h("span", { class: "txt" }, line.title),
    h("span", { class: "val" }, finite(line.final) ? number(line.final, digits) : missing));
}
