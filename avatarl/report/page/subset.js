// What is left after filter and brushes. Everything else was computed by the command line and is
// only shown; here, and nowhere else, means, intervals, bands, ranks and the best are computed
// again, since filter and smoothing change what they run over.

// Mean and 95 % interval by t, as the command line computes them: [n, mean, low, high].
function estimate(values) {
  const n = values.length;
  if (!n) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return [1, mean, null, null];
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const quantile = D.quantiles[Math.min(n - 1, D.quantiles.length - 1)];
  const half = quantile * Math.sqrt(squares / (n - 1) / n);
  return [n, mean, mean - half, mean + half];
}

// A group's numbers over those of its runs that are kept; the command line's own where all are.
function groupEstimate(group, metric, kept) {
  const done = membersOf(group).filter((run) => run.state === "done");
  const left = done.filter((run) => kept.has(run.id));
  if (left.length === done.length) return group.est[metric] ?? null;
  return estimate(left.map((run) => run.result[metric]).filter(finite));
}

// The mean of finished seeds where all have values, read between their points (linearly).
function band(members, metric) {
  const done = members.filter((run) => run.state === "done");
  const curves = done.map((run) => smoothed(run, metric)).filter(Boolean);
  if (!curves.length) return null;
  if (curves.length === 1) return { xs: curves[0][0], mean: curves[0][1], n: 1 };
  const start = Math.max(...curves.map(([xs]) => xs[0]));
  const end = Math.min(...curves.map(([xs]) => xs[xs.length - 1]));
  const places = [...new Set(curves.flatMap(([xs]) => xs))].sort((a, b) => a - b);
  const xs = places.filter((x) => x >= start && x <= end);
  const averages = xs.map((x) => estimate(curves.map((curve) => interpolate(curve, x))));
  const [mean, low, high] = [1, 2, 3].map((at) => averages.map((average) => average[at]));
  return { xs, mean, low, high, n: curves.length };
}

// The cells of a group of which only some runs are kept; the test stays that of all seeds.
function cellsOf(group, kept) {
  const members = membersOf(group);
  const left = members.filter((run) => kept.has(run.id));
  if (left.length === members.length) return group.cells;
  const done = left.filter((run) => run.state === "done").length;
  return section().tables.groups.columns.map(({ kind, name }, at) => {
    if (kind === "n") return `${done} of ${members.length}`;
    if (kind !== "metric") return group.cells[at];
    return estimateCell(groupEstimate(group, name, kept), name);
  });
}
function estimateCell(average, metric) {
  if (!average) return "–";
  const [, mean, low, high] = average, { digits } = info(metric);
  const sharp = low === null || (high === low && !digits);
  return `${number(mean, digits)}${sharp ? "" : ` ±${number((high - low) / 2, digits)}`}`;
}

function sortValue(row, key) {
  if (key === "run") return row.title;
  if (key === "n") return row.n;
  if (key === "seed") return row.run?.seed;
  if (key === "state") return row.run?.told;
  const order = section().words[key];
  if (!order) return row.number(key);
  const at = row.of ? order.indexOf(word(row.of, key)) : -1;
  return at < 0 ? null : at;
}
// Rows without a value come last, whichever way the others go.
function sortRows(rows, { key, down }) {
  const values = new Map(rows.map((row) => [row, sortValue(row, key)]));
  return rows.sort((a, b) => {
    const p = values.get(a), q = values.get(b);
    if (missing(p) || missing(q)) return missing(p) - missing(q);
    const order = p < q ? -1 : p > q ? 1 : 0;
    return down ? -order : order;
  });
}
function markBest(rows) {
  const { better } = info(D.best_by), score = (row) => row.number(D.best_by);
  const measured = (row) => (row.group || row.run.state === "done") && score(row) !== null;
  const ranked = rows.filter((row) => !row.control && measured(row));
  const ahead = (row, top) => !top || better * (score(row) - score(top)) > 0;
  const best = ranked.reduce((top, row) => (ahead(row, top) ? row : top), null);
  for (const row of rows) row.best = row === best;
}
