// A run's reliability diagram, its health over time, and its alarms and promotions.
function reliability(...runs) {
  const diagrams = runs.filter((run) => run.reliability?.confidence?.length).map((run) =>
    h("figure", {}, h("figcaption", {}, run.title), reliabilityDiagram(run.reliability)));
  if (!diagrams.length) return [];
  return [
    h("h3", {}, "Reliability ",
      h("small", { class: "soft" }, "on the diagonal, confidence is deserved")),
    h("div", { style: { display: "flex", gap: "2rem", flexWrap: "wrap" } }, diagrams),
  ];
}
function reliabilityDiagram({ confidence, accuracy, weight }) {
  const size = 230, pad = 34, length = size - pad - 8;
  const across = (t) => pad + t * length, up = (t) => size - pad - t * length;
  const bins = confidence.map((c, i) => [c, accuracy[i], weight[i]])
    .filter(([c, y, w]) => finite(c) && finite(y) && w > 0);
  const label = (x, y, text, anchor = "middle") => svg("text",
    { x, y, "text-anchor": anchor, "font-size": 10.5, fill: "var(--soft)" }, text);
  const frame = {
    x: across(0), y: up(1), width: length, height: length, fill: "none", stroke: "var(--line)",
  };
  const diagonal = {
    x1: across(0), y1: up(0), x2: across(1), y2: up(1), stroke: "var(--soft)",
    "stroke-dasharray": "3 3",
  };
  const curve = {
    points: bins.map(([c, y]) => `${across(c)},${up(y)}`).join(" "), fill: "none",
    stroke: "var(--accent)", "stroke-width": 1.5,
  };
  const dots = bins.map(([c, y, w]) => svg("circle", {
    cx: across(c), cy: up(y), r: 2 + 9 * Math.sqrt(w), fill: "var(--accent)", "fill-opacity": 0.5,
  }));
  const marks = [0, 0.5, 1].flatMap((t) =>
    [label(across(t), up(0) + 13, t), label(across(0) - 5, up(t) + 4, t, "end")]);
  const upright = { transform: `translate(9 ${up(0.5)}) rotate(-90)` };
  return svg("svg",
    {
      viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "img",
      "aria-label": "accuracy against confidence",
    },
    svg("rect", frame), svg("line", diagonal), svg("polyline", curve), ...dots, ...marks,
    label(across(0.5), size - 4, "confidence"), svg("g", upright, label(0, 0, "accuracy")));
}

function health(...runs) {
  const metrics = D.health.filter((metric) => runs.some((run) => run.curves[metric]));
  const events = runs.flatMap((run) =>
    run.events.map((event) => eventRow(run, event, runs.length)));
  if (!metrics.length && !events.length) return [];
  const minis = metrics.map((metric) => h("figure", {},
    h("figcaption", { title: metric }, info(metric).title),
    h("div", { class: "plot", "data-metric": metric })));
  const counted = events.length ? "▲ alarm raised, ▽ cleared" : "no alarm was raised";
  return [
    h("h3", {}, "Health ", h("small", { class: "soft" }, counted)),
    events.length ? table("events", events) : null,
    h("div", { class: "minis" }, minis),
    healthTable(runs, metrics),
  ];
}
function eventRow(run, event, several) {
  const what = event.event === "promotion"
    ? `promotion: ${show(event.from)} → ${show(event.to)}`
    : `${show(event.alarm ?? event.event)} ${show(event.state)}`;
  const against = finite(event.value)
    ? `${number(event.value, 3)} against ${number(event.threshold, 3)}`
    : "";
  const place = event.places[state.x];
  return h("tr", {},
    h("td", {}, finite(place) ? `${brief(place)} ${axisTitle()}` : ""),
    several > 1 ? h("td", {}, run.title) : null, h("td", {}, what), h("td", {}, against));
}

function drawMini(box, runs) {
  const draw = (plot) => mini(plot, runs, box.dataset.metric);
  const { metric } = box.dataset, margin = { left: 46, right: 18, top: 6, bottom: 32 };
  const label = () => [info(metric).title, ...runs.map((run) => {
    const ys = curveOf(run, metric)?.[1];
    return `${run.title}: ${ys ? `from ${show(ys[0])} to ${show(ys.at(-1))}` : "no data"}`;
  })].join("; ");
  new Plot(box, draw, { margin, label }).redraw();
}
// The curves' ends, for who reads rather than looks.
function healthTable(runs, metrics) {
  const rows = metrics.flatMap((metric) => runs.map((run) => {
    const ys = curveOf(run, metric)?.[1];
    return ys && h("tr", {}, [info(metric).title, run.title].map((text) => h("td", {}, text)),
      [ys[0], Math.min(...ys), Math.max(...ys), ys.at(-1)].map((y) =>
        h("td", { class: "num" }, show(y))));
  })).filter(Boolean);
  const head = h("tr", {}, ["metric", "run", "first", "least", "most", "last"].map((text) =>
    h("th", { scope: "col" }, text)));
  return h("details", { class: "behind" }, h("summary", {}, "As a table"),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))));
}
function mini(plot, runs, metric) {
  const pen = plot.begin(), curves = runs.map((run) => curveOf(run, metric)).filter(Boolean);
  const end = Math.max(1e-9, ...curves.map(([xs]) => xs[xs.length - 1]));
  plot.scales([0, end], extent(curves.flatMap(([, ys]) => ys), 0.08));
  plot.axes(axisTitle(), "", { few: true });
  const threshold = section().thresholds[metric];
  if (threshold <= plot.ys[1] && threshold >= plot.ys[0]) {
    pen.strokeStyle = css("--warn");
    pen.setLineDash(DASHES[":"]);
    plot.line(pen, [0, end], [threshold, threshold]);
  }
  runs.forEach((run, i) => {
    const curve = curveOf(run, metric);
    if (!curve) return;
    pen.strokeStyle = css(i ? "--warn" : "--accent");
    pen.lineWidth = 1.4;
    pen.setLineDash(i ? [5, 3] : []);
    plot.line(pen, ...curve);
    pen.fillStyle = css("--bad");
    for (const event of run.events) {
      if (event.curve === metric && finite(event.places[state.x])) plot.alarm(pen, event, curve);
    }
  });
}
