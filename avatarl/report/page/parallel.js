// Parallel coordinates: one line a run over the swept keys, the seed and some metrics.
let parPlot = null, parAxes = [], parLines = [];

function parallelAxes() {
  const keys = keyColumns(), made = keys.map(keyAxis).filter(Boolean);
  const add = (...axis) => made.push(...[numberAxis(...axis)].filter(Boolean));
  const seeds = [...new Set(sectionRuns().map((run) => run.seed))].map(String);
  if (keys.length < 6) add("seed", (run) => run.seed, "seed", false, seeds.length <= 8 && seeds);
  const metrics = D.metrics.filter((metric) => info(metric).better).slice(0, 3);
  for (const metric of new Set([state.parMetric, ...metrics])) {
    // Better is up on every axis that has a better.
    add(metric, (run) => run.result[metric], heading(metric), info(metric).better < 0);
  }
  return made;
}
function keyAxis({ name, heading, numeric }) {
  const words = section().words[name];
  if (words.length < 2) return null;
  if (numeric) {
    return numberAxis(name, (run) => value(run, name), heading, false, words.length <= 8 && words);
  }
  return {
    key: name, title: heading, read: (run) => word(groupOf(run), name),
    place: (word) => (words.includes(word) ? words.indexOf(word) / (words.length - 1) : null),
    marks: words.slice(0, 40).map((word) => [word, word]),
  };
}
function numberAxis(key, read, title, flip = false, words = null) {
  const values = new Set(sectionRuns().map(read).filter(finite));
  if (!values.size || (values.size < 2 && key !== state.parMetric)) return null;
  const [low, high] = extent(values, 0), scale = scaleOf(key, [...values]), { level } = scale;
  const share = (x) => (level(x) - level(low)) / (level(high) - level(low));
  const place = (x) => {
    if (!finite(x)) return null;
    if (high === low) return 0.5;
    return flip ? 1 - share(x) : share(x);
  };
  const marks = words
    ? words.map((word) => [Number(word), word])
    : ticks(low, high, 5, scale).map((tick) => [tick, brief(tick)]);
  return { key, title, read, place, marks };
}
function inBrushes(run) {
  return Object.entries(state.brushes).every(([key, [low, high]]) => {
    const axis = parAxes.find((other) => other.key === key);
    if (!axis) return true;
    const place = axis.place(axis.read(run));
    return place !== null && place >= low - 1e-9 && place <= high + 1e-9;
  });
}

function axisX(i) {
  const { x0, x1 } = parPlot.inner;
  return parAxes.length > 1 ? x0 + i * (x1 - x0) / (parAxes.length - 1) : (x0 + x1) / 2;
}
function placeY(t) {
  const { y0, y1 } = parPlot.inner;
  return y0 - t * (y0 - y1);
}
function shareAt(y) {
  const { y0, y1 } = parPlot.inner;
  return Math.max(0, Math.min(1, (y0 - y) / (y0 - y1)));
}

function drawParallel(plot) {
  const pen = plot.begin(), runs = filteredRuns();
  parLines = runs.map((run) => ({
    run, kept: inBrushes(run),
    points: parAxes.map((axis, i) => {
      const t = axis.place(axis.read(run));
      return t === null ? null : [axisX(i), placeY(t)];
    }),
  }));
  // Kept ones on top.
  parLines.sort((a, b) => a.kept - b.kept);
  for (const { run, kept, points } of parLines) {
    pen.strokeStyle = kept ? metricColour(run, state.parMetric) : css("--line");
    pen.globalAlpha = !kept ? 0.3 : runs.length > 150 ? 0.35 : 0.8;
    pen.lineWidth = kept ? 1.5 : 1;
    pen.setLineDash(run.state === "done" ? [] : [2, 4]);
    strokePoints(pen, points);
  }
  pen.globalAlpha = 1;
  pen.setLineDash([]);
  parAxes.forEach((axis, i) => drawParallelAxis(plot, axis, i));
  if (!parAxes.length) {
    pen.fillStyle = css("--soft");
    const why = "these runs differ in nothing but their seeds";
    plot.text(why, plot.width / 2, plot.height / 2, "center");
  }
  plot.canvas.dataset.kept = parLines.filter((line) => line.kept).length;
  $("clear-brush").disabled = !Object.keys(state.brushes).length;
}
function drawParallelAxis(plot, axis, i) {
  const pen = plot.pen, x = axisX(i), { y0, y1 } = plot.inner, last = i === parAxes.length - 1;
  pen.strokeStyle = css("--soft");
  pen.lineWidth = 1;
  plot.stroke([x, y0], [x, y1]);
  const brush = state.brushes[axis.key];
  if (brush) {
    pen.fillStyle = css("--accent");
    pen.globalAlpha = 0.3;
    pen.fillRect(x - 7, placeY(brush[1]), 14, placeY(brush[0]) - placeY(brush[1]));
    pen.globalAlpha = 1;
  }
  for (const [mark, text] of axis.marks) {
    const y = placeY(axis.place(mark)), wide = Math.min(pen.measureText(text).width, 90);
    // A veil of paper keeps the words legible on the lines.
    pen.fillStyle = css("--card");
    pen.globalAlpha = 0.75;
    pen.fillRect((last ? x + 8 : x - 8 - wide) - 1, y - 7, wide + 2, 14);
    pen.globalAlpha = 1;
    pen.fillStyle = css("--soft");
    plot.text(text, last ? x + 8 : x - 8, y, last ? "left" : "right", "middle", 90);
  }
  pen.fillStyle = css("--ink");
  pen.font = `600 ${FONT}`;
  const room = parAxes.length > 1 ? Math.min(150, axisX(1) - axisX(0) - 8) : 150;
  plot.text(axis.title, x, y1 - 10, "center", "bottom", room);
  pen.font = FONT;
}
function strokePoints(pen, points) {
  let down = false;
  pen.beginPath();
  for (const point of points) {
    if (point) pen[down ? "lineTo" : "moveTo"](...point);
    down = Boolean(point);
  }
  pen.stroke();
}

// The kept line nearest above or below a pixel, within 10 of it.
function nearestLine(x, y) {
  let best = null, least = 10;
  for (const line of parLines.filter(({ kept }) => kept)) {
    for (let i = 0; i + 1 < line.points.length; i++) {
      const [p, q] = [line.points[i], line.points[i + 1]];
      if (!p || !q || x < p[0] || x > q[0]) continue;
      const away = Math.abs(p[1] + (q[1] - p[1]) * (x - p[0]) / (q[0] - p[0]) - y);
      if (away < least) {
        least = away;
        best = line;
      }
    }
  }
  return best;
}
function tellLine(line, x, y) {
  const pen = parPlot.clearOver(), metric = state.parMetric;
  parPlot.hovered = line?.run;
  parPlot.tell();
  if (!line) return;
  pen.strokeStyle = css("--accent");
  pen.lineWidth = 3;
  strokePoints(pen, line.points);
  const final = number(line.run.result[metric], info(metric).digits);
  parPlot.tell(x, y, h("strong", {}, line.run.title), h("br"), `${heading(metric)} ${final}`);
}
function setUpParallel() {
  const plot = (parPlot = new Plot($("par-plot"), drawParallel, {
    margin: { left: 90, right: 90, top: 38, bottom: 14 }, name: () => "sweep-axes",
    label: () => `${visibleRuns().length} of ${filteredRuns().length} runs over `
      + parAxes.map(({ title }) => title).join(", "),
    behind: () => [["run", ...parAxes.map(({ title }) => title)],
      visibleRuns().map((run) => [run.title, ...parAxes.map((axis) => axis.read(run))])],
    keys: parallelKeys(),
  }));
  let brush = null;
  plot.on("pointerdown", (event) => {
    const [x, y] = plot.place(event);
    const axis = parAxes.find((_, i) => Math.abs(axisX(i) - x) < 22);
    if (!axis || event.button > 0) return;
    brush = { key: axis.key, from: y };
    plot.over.setPointerCapture(event.pointerId);
  });
  plot.on("pointermove", (event) => {
    const [x, y] = plot.place(event);
    if (!brush) {
      tellLine(nearestLine(x, y), x, y);
      return;
    }
    const shares = [shareAt(brush.from), shareAt(y)];
    state.brushes[brush.key] = [Math.min(...shares), Math.max(...shares)];
    plot.redraw();
  });
  const end = (event) => {
    if (!brush) return;
    const [, y] = plot.place(event);
    if (Math.abs(y - brush.from) < 4) delete state.brushes[brush.key];
    brush = null;
    refreshRuns();
  };
  plot.on("pointerup", end);
  plot.on("pointercancel", end);
  plot.on("click", () => { if (plot.hovered) choose(plot.hovered.id); });
  plot.on("pointerleave", () => plot.leave());
}
function parallelKeys() {
  const told = "Arrows left and right choose an axis, up and down keep less or more of its top, "
    + "with Shift of its bottom; Delete clears the axis, Escape all of them";
  let at = 0;
  const show = () => {
    const pen = parPlot.clearOver(), axis = parAxes[at], { y0, y1 } = parPlot.inner;
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 2;
    pen.strokeRect(axisX(at) - 10, y1 - 4, 20, y0 - y1 + 8);
    const [low, high] = state.brushes[axis.key] ?? [0, 1];
    const held = `${Math.round(low * 100)} to ${Math.round(high * 100)} % of its height`;
    parPlot.tell(axisX(at), y1 + 20, h("strong", {}, axis.title), h("br"),
      `${held}, ${visibleRuns().length} runs kept`);
  };
  const move = (by) => { at = Math.max(0, Math.min(parAxes.length - 1, at + by)); };
  const brush = (by, bottom) => {
    const { key } = parAxes[at], [low, high] = state.brushes[key] ?? [0, 1];
    const next = bottom
      ? [Math.max(0, Math.min(high, low + by)), high]
      : [low, Math.min(1, Math.max(low, high + by))];
    if (next[0] <= 0 && next[1] >= 1) delete state.brushes[key];
    else state.brushes[key] = next;
    refreshRuns();
  };
  const act = (key, bottom) => {
    const keys = {
      ArrowLeft: () => move(-1), ArrowRight: () => move(1),
      ArrowUp: () => brush(0.05, bottom), ArrowDown: () => brush(-0.05, bottom),
      Delete: () => { delete state.brushes[parAxes[at].key]; refreshRuns(); },
      Escape: () => { state.brushes = {}; refreshRuns(); },
    };
    if (!Object.hasOwn(keys, key) || !parAxes.length) return false;
    move(0);
    keys[key]();
    return show();
  };
  return { told, act };
}
