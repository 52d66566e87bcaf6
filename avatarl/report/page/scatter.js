// Points, one a finished run: accuracy against calibration, and a metric against one key.
let scatterPlot = null, axisPlot = null;

function drawPoints(plot, points) {
  const pen = plot.pen;
  plot.points = points;
  pen.globalAlpha = 0.8;
  for (const { run, x, y } of points) {
    pen.fillStyle = colourOf(run);
    if (run.control) pen.fillRect(x - 4, y - 4, 8, 8);
    else {
      disc(pen, x, y, 4);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}
function setUpPoints(box, draw, { name, words, title, columns }) {
  const plot = new Plot(box, draw, {
    name, keys: { told: "Arrows choose a point, Enter opens its run", act },
    label: () => `${title()}, ${plot.points?.length ?? 0} runs`,
    behind: () => [["run", ...columns().map(([heading]) => heading)],
      plot.points.map(({ run }) => [run.title, ...columns().map(([, read]) => read(run))])],
  });
  const tellPoint = (near) => {
    const pen = plot.clearOver();
    plot.near = near;
    plot.tell();
    if (!near) return;
    pen.strokeStyle = css("--ink");
    pen.lineWidth = 1.5;
    disc(pen, near.x, near.y, 6.5);
    pen.stroke();
    plot.tell(near.x, near.y, h("strong", {}, near.run.title), h("br"), words(near.run));
  };
  function act(key) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
    if (key === "Enter" && plot.near) return choose(plot.near.run.id);
    if (!by || !plot.points.length) return false;
    const ordered = [...plot.points].sort((a, b) => a.x - b.x || a.y - b.y);
    const at = ordered.findIndex(({ run }) => run === plot.near?.run);
    return tellPoint(ordered[Math.max(0, Math.min(ordered.length - 1, at < 0 ? 0 : at + by))]);
  }
  const find = (event) => {
    const [x, y] = plot.place(event);
    let near = null, least = 14;
    for (const point of plot.points) {
      const away = Math.hypot(point.x - x, point.y - y);
      if (away < least) [near, least] = [point, away];
    }
    return near;
  };
  plot.on("pointermove", (event) => {
    if (event.pointerType !== "touch") tellPoint(find(event));
  });
  plot.on("click", (event) => {
    const near = find(event), again = near && near.run === plot.near?.run;
    if (again) choose(near.run.id);
    else tellPoint(near);
  });
  plot.on("pointerleave", ({ pointerType }) => { if (pointerType !== "touch") plot.leave(); });
  return plot;
}

function drawScatter(plot) {
  const pen = plot.begin(), ece = (run) => run.result["val/ece"];
  const accuracy = (run) => run.result["val/accuracy"];
  const whole = (run) => run.state === "done" && finite(ece(run)) && finite(accuracy(run));
  const runs = visibleRuns().filter(whole), [, most] = extent([0, ...runs.map(ece)]);
  plot.scales([0, most], runs.length ? extent(runs.map(accuracy), 0.1) : [0, 1]);
  plot.axes(info("val/ece").title, info("val/accuracy").title);
  plot.levels("val/accuracy");
  const alarm = section().thresholds["val/ece"], { y0, y1 } = plot.inner;
  if (most > alarm) {
    pen.strokeStyle = pen.fillStyle = css("--warn");
    pen.setLineDash(DASHES[":"]);
    plot.stroke([plot.x(alarm), y0], [plot.x(alarm), y1]);
    pen.setLineDash([]);
    plot.text("alarm", plot.x(alarm) + 3, y1, "left", "top");
  }
  drawPoints(plot,
    runs.map((run) => ({ run, x: plot.x(ece(run)), y: plot.y(accuracy(run)) })));
}

function drawAxis(plot) {
  plot.begin();
  const key = state.axisKey, metric = state.parMetric, { title } = info(metric);
  const column = keyColumns().find(({ name }) => name === key);
  $("axis-caption").textContent = column
    ? `Final ${title} against ${column.heading}`
    : "No key is swept";
  const ended = (run) =>
    run.state === "done" && finite(run.result[metric]) && value(run, key) !== undefined;
  const runs = visibleRuns().filter((run) => column && ended(run)), numeric = column?.numeric;
  const left = new Set(runs.map((run) => word(groupOf(run), key)));
  const words = (section().words[key] ?? []).filter((word) => left.has(word));
  const place = (run) => (numeric ? value(run, key) : words.indexOf(word(groupOf(run), key)));
  const places = runs.map(place), scale = numeric ? scaleOf(key, places) : LINEAR;
  plot.scales(
    numeric ? extent(places, 0.08, scale) : [-0.5, Math.max(0.5, words.length - 0.5)],
    runs.length ? extent(runs.map((run) => run.result[metric]), 0.08) : [0, 1],
    { x: scale },
  );
  const xTicks = numeric && words.length > 8
    ? null
    : words.map((word, i) => [numeric ? Number(word) : i, word]);
  plot.axes(column?.heading ?? "", title, { xTicks });
  plot.levels(metric);
  drawPoints(plot, runs.map((run, i) => ({
    // Beside rather than on top of each other, where the axis is of words.
    run, x: plot.x(place(run)) + (numeric ? 0 : ((i * 7) % 11 - 5) * 1.6),
    y: plot.y(run.result[metric]),
  })));
}

function setUpScatter() {
  const read = (metric) => (run) => run.result[metric];
  const pair = ["val/accuracy", "val/ece"];
  scatterPlot = setUpPoints($("scatter-plot"), drawScatter, {
    name: () => "accuracy-calibration", title: () => "Accuracy against calibration error",
    columns: () => pair.map((metric) => [info(metric).title, read(metric)]),
    words: ({ result }) => `accuracy ${number(result["val/accuracy"])} · calibration error `
      + number(result["val/ece"]),
  });
  axisPlot = setUpPoints($("axis-plot"), drawAxis, {
    name: () => `${state.parMetric}-${state.axisKey}`, title: () => $("axis-caption").textContent,
    columns: () => [
      [heading(state.axisKey), (run) => word(groupOf(run), state.axisKey)],
      [info(state.parMetric).title, read(state.parMetric)],
    ],
    words: ({ result }) => `${heading(state.parMetric)} `
      + number(result[state.parMetric], info(state.parMetric).digits),
  });
}
