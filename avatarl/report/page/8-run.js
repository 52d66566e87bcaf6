// One run beside another: numbers, what differs, samples, reliability, health, where it came from.
function choose(id, scroll = true) {
  state.a = id;
  if (state.b === id) state.b = null;
  drawRun(); drawTable();
  if (scroll) $("run").scrollIntoView({ behavior: "smooth", block: "start" });
}
function fillRunChoices() {
  const runs = sectionRuns();
  const options = () => runs.map((run) => h("option", { value: run.id }, `${runName(run)}${run.state === "done" ? "" : ` (${run.told})`}`));
  $("run-a").replaceChildren(...options());
  $("run-b").replaceChildren(h("option", { value: "" }, "nothing"), ...options());
  if (runs.some((run) => run.id === state.a)) { if (!runs.some((run) => run.id === state.b)) state.b = null; return; }
  // To begin with: the best configuration's first seed, beside the control where there is one.
  const best = D.groups.find((group) => group.section === state.section && group.best);
  const first = best ? D.runs[best.runs[0]] : runs.find((run) => run.state === "done") ?? runs[0];
  const control = runs.filter((run) => run.control && run.state === "done");
  state.a = first?.id ?? null;
  state.b = (control.find((run) => run.seed === first?.seed) ?? control[0])?.id ?? null;
}
const byId = (id) => D.runs.find((run) => run.id === id);
function drawRun() {
  const a = byId(state.a), b = state.b ? byId(state.b) : null;
  $("run-a").value = state.a ?? ""; $("run-b").value = state.b ?? "";
  const view = $("run-view");
  if (!a) { view.replaceChildren(h("p", { class: "empty" }, "There is no run to show.")); return; }
  view.replaceChildren(...[headline(a, b), configTable(a, b), samples(a, b), reliabilityPlots(a, b), healthView(a, b), provenance(a, b)].flat().filter(Boolean));
  for (const draw of pendingMinis.splice(0)) draw();
}
function headline(a, b) {
  const both = b ? [a, b] : [a];
  const metrics = [...new Set([...D.metrics, ...Object.keys(a.result), ...(b ? Object.keys(b.result) : [])])].filter((m) => both.some((run) => finite(run.result[m])));
  const rows = metrics.map((m) => { const digits = info(m).digits; return h("tr", {}, h("td", { title: m }, info(m).title), both.map((run) => h("td", { class: "num" }, number(run.result[m], digits), run.state === "done" || !finite(run.result[m]) ? null : h("small", {}, " so far"))), b ? h("td", { class: "num" }, finite(a.result[m]) && finite(b.result[m]) ? number(a.result[m] - b.result[m], digits) : "–") : null); });
  const head = h("tr", {}, h("th", {}, ""), both.map((run) => h("th", { class: "num" }, runName(run), " ", h("span", { class: `state ${run.state}` }, run.told))), b ? h("th", { class: "num" }, "difference") : null);
  const leading = (m) => D.metrics.includes(m) || /^(val|best|reward)\/|^[^/]+$/.test(m);
  const split = [rows.filter((_, i) => leading(metrics[i])), rows.filter((_, i) => !leading(metrics[i]))];
  const notes = both.flatMap((run) => (run.notes ?? []).map((note) => h("p", { class: "note" }, `${runName(run)}: ${note}`)));
  const failure = both.filter((run) => run.reason).map((run) => h("div", {}, h("p", { class: "note bad" }, `${runName(run)}: ${run.reason}`), run.trace ? h("pre", {}, run.trace) : null));
  return [failure, notes, h("div", { class: "scroll" }, h("table", { id: "headline" }, h("thead", {}, head), h("tbody", {}, split[0]))),
    split[1].length ? h("details", {}, h("summary", { class: "soft" }, `${split[1].length} more, of training and health`), h("table", {}, h("tbody", {}, split[1]))) : null].flat();
}
function configTable(a, b) {
  const left = config(a), right = b ? config(b) : {};
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  const same = (key) => JSON.stringify(left[key]) === JSON.stringify(right[key]);
  const shown = b ? keys.filter((key) => !state.onlyDifferent || !same(key)) : keys.filter((key) => !state.onlyDifferent || key in a.config || keysHere().includes(key));
  const rows = shown.map((key) => h("tr", { class: b && !same(key) ? "differs" : null, "data-config": key }, h("td", {}, key), h("td", {}, key in left ? show(left[key]) : "–"), b ? h("td", {}, key in right ? show(right[key]) : "–") : null));
  const told = b ? `${keys.filter((key) => !same(key)).length} of ${keys.length} keys differ` : state.onlyDifferent ? "the keys that tell these runs apart" : `${keys.length} keys`;
  return [h("h3", {}, "Configuration ", h("small", { class: "soft" }, told)), rows.length ? h("div", { class: "scroll" }, h("table", { id: "diff" }, h("tbody", {}, rows))) : h("p", { class: "empty", id: "diff" }, "Nothing differs.")];
}
function samples(a, b) {
  const temperatures = [...new Set([...a.samples, ...(b?.samples ?? [])].map((sample) => sample.temperature))].sort((x, y) => x - y);
  if (!temperatures.length) return null;
  const text = (run, t) => run.samples.filter((sample) => sample.temperature === t).map((sample) => h("pre", { class: "sample" }, sample.text));
  return [h("h3", {}, "Samples"), ...temperatures.map((t) => h("div", {}, h("span", { class: "soft" }, `temperature ${show(t)}`), b ? h("div", { class: "pair samples" }, h("div", {}, text(a, t)), h("div", {}, text(b, t))) : text(a, t)))];
}
const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) { const node = document.createElementNS(SVG, tag); for (const [name, found] of Object.entries(attributes)) node.setAttribute(name, found); node.append(...children); return node; }
function reliabilityPlots(a, b) {
  const both = [a, b].filter((run) => run?.reliability?.confidence?.length);
  if (!both.length) return null;
  const plots = both.map((run) => {
    const size = 230, pad = 34, at = (t) => pad + t * (size - pad - 8), up = (t) => size - pad - t * (size - pad - 8);
    const { confidence, accuracy, weight } = run.reliability, found = confidence.map((c, i) => [c, accuracy[i], weight[i]]).filter(([c, y, w]) => finite(c) && finite(y) && w > 0);
    const label = (x, y, text, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor, "font-size": 10.5, fill: "var(--soft)" }, text);
    return h("figure", {}, h("figcaption", {}, runName(run)), svg("svg", { viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "img", "aria-label": "accuracy against confidence" },
      svg("rect", { x: at(0), y: up(1), width: at(1) - at(0), height: up(0) - up(1), fill: "none", stroke: "var(--line)" }),
      svg("line", { x1: at(0), y1: up(0), x2: at(1), y2: up(1), stroke: "var(--soft)", "stroke-dasharray": "3 3" }),
      svg("polyline", { points: found.map(([c, y]) => `${at(c)},${up(y)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 1.5 }),
      ...found.map(([c, y, w]) => svg("circle", { cx: at(c), cy: up(y), r: 2 + 9 * Math.sqrt(w), fill: "var(--accent)", "fill-opacity": 0.5 })),
      ...[0, 0.5, 1].flatMap((t) => [label(at(t), up(0) + 13, String(t)), label(at(0) - 5, up(t) + 4, String(t), "end")]),
      label(at(0.5), size - 4, "confidence"), svg("g", { transform: `translate(9 ${up(0.5)}) rotate(-90)` }, label(0, 0, "accuracy"))));
  });
  return [h("h3", {}, "Reliability ", h("small", { class: "soft" }, "on the diagonal, confidence is deserved")), h("div", { style: { display: "flex", gap: "2rem", flexWrap: "wrap" } }, plots)];
}
const pendingMinis = [];
const HEALTH = ["val/entropy", "val/nats", "reward/expected", "val/ece", "health/collapse_gap", "health/grad_norm", "health/clip_fraction", "train/kl", "train/entropy", "train/loss"];
function healthView(a, b) {
  const both = [a, b].filter(Boolean);
  const metrics = [...HEALTH, ...D.curves.filter((m) => m.startsWith("health/") && !HEALTH.includes(m))].filter((m) => both.some((run) => run.curves[m]));
  const minis = metrics.map((m) => {
    const box = h("div", { class: "plot" }, h("canvas", {}));
    pendingMinis.push(() => { const plot = new Plot(box); plot.margin = { left: 46, right: 18, top: 6, bottom: 32 }; plot.draw = () => mini(plot, both, m); plot.redraw(); });
    return h("figure", {}, h("figcaption", { title: m }, info(m).title), box);
  });
  const events = both.flatMap((run) => run.events.map((event) => h("tr", {}, h("td", {}, brief(event.characters_seen ?? 0), " characters"), b ? h("td", {}, runName(run)) : null,
    h("td", {}, event.event === "promotion" ? `promotion: ${show(event.from)} → ${show(event.to)}` : `${show(event.alarm ?? event.event)} ${show(event.state)}`), h("td", {}, finite(event.value) ? `${number(event.value, 3)} against ${number(event.threshold, 3)}` : ""))));
  if (!minis.length && !events.length) return null;
  return [h("h3", {}, "Health ", h("small", { class: "soft" }, events.length ? "▲ alarm raised, ▽ cleared" : "no alarm was raised")), events.length ? h("div", { class: "scroll", style: { maxHeight: "12rem" } }, h("table", { id: "events" }, h("tbody", {}, events))) : null, h("div", { class: "minis" }, minis)];
}
function mini(plot, runs, metric) {
  const pen = plot.begin(), curves = runs.map((run) => run.curves[metric]);
  const ys = curves.filter(Boolean).flatMap(([, y]) => y), end = Math.max(1, ...curves.filter(Boolean).map(([x]) => x[x.length - 1]));
  plot.scales([0, end], extent(ys, 0.08));
  plot.axes("characters seen", "", { few: true });
  const limit = { "val/ece": 0.05, "health/collapse_gap": 0.05, "health/clip_fraction": 0.3 }[metric];
  if (limit !== undefined && limit <= plot.ys[1] && limit >= plot.ys[0]) { pen.strokeStyle = css("--warn"); pen.setLineDash([2, 3]); plot.line(pen, [0, end], [limit, limit]); pen.setLineDash([]); }
  runs.forEach((run, i) => {
    const curve = curves[i];
    if (!curve) return;
    pen.strokeStyle = i ? css("--warn") : css("--accent"); pen.lineWidth = 1.4; pen.setLineDash(i ? [5, 3] : []);
    plot.line(pen, curve[0], curve[1]); pen.setLineDash([]);
    for (const event of run.events) if (event.event === "alarm" && finite(event.characters_seen) && alarmMetric(event, run) === metric) { pen.fillStyle = css("--bad"); pen.textAlign = "center"; pen.textBaseline = "middle"; pen.fillText(event.state === "cleared" ? "▽" : "▲", plot.x(event.characters_seen), plot.y(interpolate(curve, event.characters_seen))); }
  });
}
const ALARMS = { calibration: "val/ece", confidence_collapse: "health/collapse_gap", gradient_stability: "health/grad_norm" };
const alarmMetric = (event, run) => run.curves[event.fact] ? event.fact : ALARMS[event.alarm] ?? "val/entropy";
function provenance(a, b) {
  const both = [a, b].filter(Boolean);
  const told = both.map((run) => ({ directory: run.dir, ...D.prov, ...run.prov }));
  const keys = [...new Set(told.flatMap((one) => Object.keys(one)))];
  const rows = keys.map((key) => h("tr", { class: b && show(told[0][key]) !== show(told[1][key]) ? "differs" : null }, h("td", {}, key), told.map((one) => h("td", {}, key in one ? show(one[key]) : "–"))));
  const commands = both.filter((run) => run.command).map((run) => h("div", { class: "command" }, h("pre", { class: "reproduce" }, run.command), h("button", { type: "button", onclick: (event) => { navigator.clipboard?.writeText(run.command).then(() => { event.target.textContent = "Copied"; }, () => {}); } }, "Copy")));
  return [commands.length ? h("h3", {}, "To run it again") : null, commands, h("h3", {}, "Where it came from"), h("div", { class: "scroll" }, h("table", { id: "provenance" }, h("tbody", {}, rows)))].flat();
}
