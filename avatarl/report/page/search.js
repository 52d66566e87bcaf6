// How a search went: its rungs, the best so far, what mattered, and each decision with its reason.
// A column is its heading and the class of its cells.
const DECISION_COLUMNS = [
  ["s", "num"], ["event"], ["run"], ["rung", "num"], ["step", "num"], ["value", "num"], ["why"],
];
let bestPlot = null;

function fillSearch() {
  const found = section().search;
  for (const id of ["search", "to-search"]) $(id).hidden = !found;
  if (!found) return;
  bestPlot ??= setUpBest();
  const { title, digits } = info(found.metric), measured = (x) => number(x, digits);
  refill($("rungs-view"), cellTable(
    [["rung"], ["at step", "num"], ["came to it", "num"], ["went on", "num"],
      [`best ${title}`, "num"], ["rank correlation with the end", "num"]],
    found.rungs.map(({ steps, reached, went_on: on, best, foretold }, rung) => {
      const last = rung === found.rungs.length - 1;
      const places = steps.length > 2 ? [steps[0], "…", steps.at(-1)] : steps;
      return [last ? "end" : rung, places.map(brief).join(", "), reached, last ? "" : on,
        measured(best), last ? "" : number(foretold, 2)];
    })));
  $("best-caption").textContent = `Best ${title} so far, and each run's end`;
  bestPlot.redraw();
  fillImportance(found.importance);
  $("decisions-told").textContent = `${found.decisions.length} decisions, and why`;
  fillDecisions();
}

function cellTable(columns, rows) {
  const cell = (value, i) => h("td", { class: columns[i][1] }, value ?? "");
  return table(null, rows.map((row) => h("tr", {}, row.map(cell))), h("tr", {},
    columns.map(([heading, kind]) => h("th", { class: kind, scope: "col" }, heading))));
}

function fillImportance(found) {
  $("importance-caption").textContent = found?.told ?? "Too few runs or keys to tell what mattered";
  const most = Math.max(...(found?.shares ?? []).map(([, share]) => share), 1e-9);
  refill($("importance-view"), h("table", {}, h("tbody", {},
    (found?.shares ?? []).map(([key, share]) => h("tr", {}, h("td", {}, breakable(key)),
      h("td", { class: "share" }, h("i", { style: { width: `${100 * share / most}%` } })),
      h("td", { class: "num" }, share.toFixed(2)))))));
}

// Thousands of rows are built once somebody wants to see them.
function fillDecisions() {
  const { decisions, metric } = section().search, { digits } = info(metric);
  if (!$("decisions").open) return refill($("decisions-view"));
  const titles = new Map(D.runs.map((run) => [run.id, run.title]));
  const rows = decisions.map(([seconds, event, id, rung, step, value, why]) => {
    const open = { type: "button", class: "link", onclick: () => choose(id) };
    const run = titles.has(id) ? h("button", open, titles.get(id)) : id || "";
    const had = missing(value) ? "" : number(value, digits);
    return [number(seconds, 1), event, run, rung, step, had, why];
  });
  refill($("decisions-view"), cellTable(DECISION_COLUMNS, rows));
}

function drawBest(plot) {
  const pen = plot.begin(), { spent, values, best, metric } = section().search;
  // A diverged run would press all others together.
  const sorted = [...values].sort((a, b) => a - b), { better } = info(metric);
  const cut = Math.floor(sorted.length / 5);
  const telling = better > 0 ? sorted.slice(cut) : sorted.slice(0, sorted.length - cut);
  plot.scales([0, 1.03 * Math.max(1, ...spent)],
    telling.length ? extent([...telling, ...best], 0.08) : [0, 1]);
  plot.axes("steps spent", info(metric).title);
  plot.clipped(() => {
    pen.fillStyle = css("--soft");
    pen.globalAlpha = 0.5;
    values.forEach((value, i) => {
      disc(pen, plot.x(spent[i]), plot.y(value), 3.5);
      pen.fill();
    });
    pen.globalAlpha = 1;
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 1.8;
    const stairs = best.flatMap((value, i) =>
      [[spent[i], best[Math.max(0, i - 1)]], [spent[i], value]]);
    if (stairs.length) plot.stroke(...stairs.map(([x, y]) => [plot.x(x), plot.y(y)]));
  });
}

function setUpBest() {
  const found = () => section().search, box = h("div", { class: "plot", id: "best-plot" });
  $("decisions").addEventListener("toggle", fillDecisions);
  $("best-caption").after(box);
  return new Plot(box, (plot) => found() && drawBest(plot), {
    name: () => "best-so-far",
    label: () => `${$("best-caption").textContent}, ${found()?.values.length ?? 0} runs`,
    behind: () => [["steps spent", info(found().metric).title, "best so far"],
      found().spent.map((steps, i) => [steps, found().values[i], found().best[i]])],
  });
}
