// Learning curves on a canvas: bands over seeds or every run, zoom by dragging, hover by nearness.
let curvePlot = null, drawn = [];

function curveLines() {
  const runs = visibleRuns(), kept = new Set(runs.map((run) => run.id));
  if (state.lines === "runs") return runs.map((run) => ({ run, title: runName(run), colour: colourOf(run), dash: run.state === "done" ? DASHES["-"] : DASHES[":"], final: run.result[state.metric] }));
  return sectionGroups().filter((group) => group.runs.some((i) => kept.has(D.runs[i].id))).map((group) => {
    const members = group.runs.map((i) => D.runs[i]).filter((run) => kept.has(run.id));
    return { group, members, title: groupName(group), colour: colourOf(members[0]), dash: DASHES[group.look.dash] ?? [], final: groupEstimate(group, state.metric, kept)?.[1] };
  });
}
function smoothed(run) {
  const curve = run.curves[state.metric];
  return curve ? [curve[0], smooth(curve[1], state.smoothing)] : null;
}
function band(members) {
  const curves = members.filter((run) => run.state === "done").map(smoothed).filter(Boolean);
  if (!curves.length) return null;
  const start = Math.max(...curves.map(([xs]) => xs[0])), end = Math.min(...curves.map(([xs]) => xs[xs.length - 1]));
  let grid = [...new Set(curves.flatMap(([xs]) => xs))].filter((x) => x >= start && x <= end).sort((a, b) => a - b);
  if (curves.length === 1) return { xs: curves[0][0], mean: curves[0][1], n: 1 };
  const mean = [], low = [], high = [];
  for (const x of grid) { const [, m, a, b] = estimate(curves.map((curve) => interpolate(curve, x)), D.quantiles); mean.push(m); low.push(a); high.push(b); }
  return { xs: grid, mean, low, high, n: curves.length };
}
function prepareCurves() {
  drawn = curveLines();
  const better = info(state.metric).better || -1;
  drawn.sort((a, b) => finite(a.final) && finite(b.final) ? better * (b.final - a.final) : finite(b.final) - finite(a.final));
  for (const line of drawn) {
    line.off = state.hidden.has(toggleKey(line));
    const parts = [];
    if (line.run) { const curve = smoothed(line.run); if (curve) parts.push({ xs: curve[0], ys: curve[1], run: line.run, dash: line.dash }); } else {
      line.band = band(line.members);
      if (line.band) parts.push({ xs: line.band.xs, ys: line.band.mean, run: line.members.find((run) => run.state === "done"), dash: line.dash });
      for (const run of line.members) if (run.state !== "done") { const curve = smoothed(run); if (curve) parts.push({ xs: curve[0], ys: curve[1], run, dash: DASHES[":"], unfinished: true }); }
    }
    line.parts = parts;
  }
  drawLegend();
  curvePlot.redraw();
}
function drawCurves() {
  const plot = curvePlot, pen = plot.begin();
  const lines = drawn.filter((line) => !line.off && line.parts.length);
  const log = state.log && lines.every((line) => line.parts.every((part) => part.ys.every((y) => y > 0)));
  let xs, ys;
  if (state.zoom) ({ xs, ys } = state.zoom);
  else {
    let end = 0, low = Infinity, high = -Infinity;
    for (const line of lines) for (const part of line.parts) end = Math.max(end, part.xs[part.xs.length - 1]);
    // Every curve falls alike from the top; the first twentieth would flatten what differs.
    const late = info(state.metric).better < 0 ? end / 20 : 0;
    if (state.metric.startsWith("val/")) for (const line of lines) if (finite(line.final) && line.parts.some((part) => !part.unfinished)) { low = Math.min(low, line.final); high = Math.max(high, line.final); }
    for (const line of lines) for (const part of line.parts) for (let i = 0; i < part.ys.length; i++) if (part.xs[i] >= late || i === part.ys.length - 1) { low = Math.min(low, part.ys[i]); high = Math.max(high, part.ys[i]); }
    xs = [0, end * 1.008 || 1]; ys = low <= high ? extent([low, high]) : [0, 1];
    if (log && ys[0] <= 0) ys[0] = low * 0.95;
  }
  plot.scales(xs, ys, log);
  plot.axes("characters seen", info(state.metric).title);
  plot.levels(D.sections[state.section].levels, state.metric, D.level_names);
  plot.clipped(() => {
    for (const line of lines) {
      const shade = line.band;
      if (shade?.low) {
        pen.globalAlpha = 0.14; pen.fillStyle = line.colour; pen.beginPath();
        shade.xs.forEach((x, i) => i ? pen.lineTo(plot.x(x), plot.y(Math.max(shade.low[i], log ? ys[0] : -Infinity))) : pen.moveTo(plot.x(x), plot.y(Math.max(shade.low[i], log ? ys[0] : -Infinity))));
        for (let i = shade.xs.length - 1; i >= 0; i--) pen.lineTo(plot.x(shade.xs[i]), plot.y(shade.high[i]));
        pen.fill(); pen.globalAlpha = 1;
      }
    }
    const many = lines.length > 60;
    for (const line of lines) for (const part of line.parts) {
      pen.strokeStyle = line.colour; pen.lineWidth = many ? 0.8 : part.unfinished ? 1.1 : 1.7; pen.globalAlpha = many ? 0.55 : 1; pen.setLineDash(part.dash);
      plot.line(pen, part.xs, part.ys);
      if (part.xs.length === 1) { pen.fillStyle = line.colour; pen.beginPath(); pen.arc(plot.x(part.xs[0]), plot.y(part.ys[0]), 3, 0, 7); pen.fill(); }
    }
    pen.setLineDash([]); pen.globalAlpha = many ? 0.7 : 1;
    // The curve is of a sample of the held-out text, the final number of all of it.
    for (const line of lines) {
      const end = line.parts.find((part) => !part.unfinished);
      if (!finite(line.final) || !end || (line.run && line.run.state !== "done")) continue;
      pen.fillStyle = line.colour; pen.beginPath(); pen.arc(plot.x(end.xs[end.xs.length - 1]), plot.y(line.final), many ? 2 : 3.5, 0, 7); pen.fill();
    }
    pen.globalAlpha = 1;
  });
  if (!lines.length) { pen.fillStyle = css("--soft"); pen.textAlign = "center"; pen.fillText("nothing to draw: no line is switched on, or none logged this metric", plot.width / 2, plot.height / 2); }
  plot.canvas.dataset.lines = lines.length;
  $("reset-zoom").disabled = !state.zoom;
  $("sampled").hidden = !(state.metric ?? "").startsWith("val/");
  const thin = D.runs.some((run) => run.section === state.section && run.curves[state.metric]?.[2]);
  $("thinned").textContent = thin ? "Long curves are thinned to each stretch's lowest and highest point, so spikes stay; means and bands are of these points." : "";
}
function nearest(mx, my) {
  const plot = curvePlot;
  let best = null, least = 18 ** 2;
  for (const line of drawn) {
    if (line.off) continue;
    for (const part of line.parts) {
      // Segments near the mouse only: the places are ordered.
      let low = 0, high = part.xs.length - 1;
      const x = plot.unx(mx - 20), end = plot.unx(mx + 20);
      while (low < high) { const middle = (low + high) >> 1; if (part.xs[middle] < x) low = middle + 1; else high = middle; }
      for (let i = Math.max(0, low - 1); i < part.xs.length; i++) {
        const px = plot.x(part.xs[i]), py = plot.y(part.ys[i]);
        let away = (px - mx) ** 2 + (py - my) ** 2;
        if (i + 1 < part.xs.length) {
          const qx = plot.x(part.xs[i + 1]), qy = plot.y(part.ys[i + 1]), length = (qx - px) ** 2 + (qy - py) ** 2 || 1;
          const t = Math.max(0, Math.min(1, ((mx - px) * (qx - px) + (my - py) * (qy - py)) / length));
          away = (px + t * (qx - px) - mx) ** 2 + (py + t * (qy - py) - my) ** 2;
        }
        if (away < least) { const close = i + 1 < part.xs.length && Math.abs(plot.x(part.xs[i + 1]) - mx) < Math.abs(px - mx) ? i + 1 : i; least = away; best = { line, part, i: close }; }
        if (part.xs[i] > end) break;
      }
    }
  }
  return best;
}
function emphasise(line, part = null, i = null) {
  const plot = curvePlot, pen = plot.clearOver();
  if (!line) return;
  const { x0, x1, y0, y1 } = plot.inner;
  pen.save(); pen.beginPath(); pen.rect(x0, y1, x1 - x0, y0 - y1); pen.clip();
  for (const one of line.parts) { pen.strokeStyle = css("--card"); pen.lineWidth = 6; plot.line(pen, one.xs, one.ys); pen.strokeStyle = line.colour; pen.lineWidth = 2.8; plot.line(pen, one.xs, one.ys); }
  for (const run of line.run ? [line.run] : line.members) for (const event of run.events) if (finite(event.characters_seen)) {
    const curve = run.curves[state.metric];
    if (event.event === "promotion") { pen.strokeStyle = line.colour; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(plot.x(event.characters_seen), y0); pen.lineTo(plot.x(event.characters_seen), y1); pen.stroke(); }
    else if (curve) { pen.fillStyle = css("--warn"); pen.textAlign = "center"; pen.textBaseline = "middle"; pen.fillText(event.state === "cleared" ? "▽" : "▲", plot.x(event.characters_seen), plot.y(interpolate(curve, event.characters_seen))); }
  }
  if (part) { pen.fillStyle = line.colour; pen.beginPath(); pen.arc(plot.x(part.xs[i]), plot.y(part.ys[i]), 4.5, 0, 7); pen.fill(); }
  pen.restore();
}
function setUpCurves() {
  curvePlot = new Plot($("curve-plot"));
  curvePlot.draw = drawCurves;
  let from = null;
  const at = (event) => { const box = curvePlot.over.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  curvePlot.over.addEventListener("mousedown", (event) => { from = at(event); event.preventDefault(); });
  curvePlot.over.addEventListener("mousemove", (event) => {
    const [x, y] = at(event);
    if (from && Math.hypot(x - from[0], y - from[1]) > 5) {
      const pen = curvePlot.clearOver(); curvePlot.tell();
      pen.fillStyle = css("--accent"); pen.globalAlpha = 0.15; pen.fillRect(from[0], from[1], x - from[0], y - from[1]); pen.globalAlpha = 1;
      return;
    }
    const found = nearest(x, y);
    if (!found) { emphasise(null); curvePlot.tell(); return; }
    const { line, part, i } = found;
    emphasise(line, part, i);
    const band = line.band, n = part.unfinished ? `seed ${show(part.run.seed)} ${part.run.told}` : band ? `mean of ${band.n}` : line.run.told;
    curvePlot.tell(x, y, h("strong", {}, line.title), h("br"), `${heading(state.metric)} ${number(part.ys[i], info(state.metric).digits)}`, band?.low && !part.unfinished ? ` (${number(band.low[i], 3)} to ${number(band.high[i], 3)})` : "", h("br"), h("span", { class: "soft" }, `${brief(part.xs[i])} characters · ${n}`));
  });
  addEventListener("mouseup", (event) => {
    if (!from) return;
    const [x, y] = at(event), [fx, fy] = from; from = null;
    if (Math.hypot(x - fx, y - fy) > 5) {
      const xs = [curvePlot.unx(Math.min(x, fx)), curvePlot.unx(Math.max(x, fx))], ys = [curvePlot.uny(Math.max(y, fy)), curvePlot.uny(Math.min(y, fy))];
      state.zoom = { xs, ys }; curvePlot.redraw();
    } else { const found = nearest(x, y); if (found) choose(found.part.run.id); }
  });
  curvePlot.over.addEventListener("mouseleave", () => { emphasise(null); curvePlot.tell(); });
  curvePlot.over.addEventListener("dblclick", () => { state.zoom = null; curvePlot.redraw(); });
}
const LEGEND = 300;
const borderStyle = (dash) => dash === DASHES[":"] ? "dotted" : dash.length ? "dashed" : "solid";
function drawLegend() {
  const box = $("legend"), scrolled = box.scrollTop, digits = Math.min(3, info(state.metric).digits);
  box.replaceChildren(...drawn.slice(0, LEGEND).map((line) => h("label", { class: line.off ? "off" : null, "data-line": toggleKey(line), onmouseenter: () => { if (!line.off) emphasise(line); }, onmouseleave: () => emphasise(null) },
    h("input", { type: "checkbox", checked: !line.off, onchange: (event) => { state.hidden[event.target.checked ? "delete" : "add"](toggleKey(line)); prepareCurves(); } }),
    h("span", { class: "swatch", style: { borderTopColor: line.colour, borderTopStyle: borderStyle(line.dash) } }),
    h("span", { class: "txt" }, line.title), h("span", { class: "val" }, finite(line.final) ? number(line.final, digits) : line.parts.length ? "" : "no data"))),
    drawn.length > LEGEND ? h("p", { class: "hint" }, `and ${drawn.length - LEGEND} more; filter to choose`) : "");
  box.scrollTop = scrolled;
}
