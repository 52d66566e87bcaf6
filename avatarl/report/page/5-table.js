// The table: configurations with their seeds aggregated, or single runs; n-gram levels among them.
function sortValue(row, key) {
  if (key === "name") return row.title;
  if (key === "n") return row.n;
  if (key === "state") return row.run?.told;
  if (key === "seed") return row.run?.seed;
  if (key in D.info || key.includes("/")) return row.number(key);
  return row.value(key);
}
function compareRows(a, b, key, down) {
  const [p, q] = [sortValue(a, key), sortValue(b, key)];
  const none = (x) => x === undefined || x === null;
  if (none(p) || none(q)) return none(p) - none(q);
  const order = typeof p === "number" && typeof q === "number" ? p - q : natural(show(p), show(q));
  return down ? -order : order;
}
function tableRows() {
  const runs = visibleRuns(), kept = new Set(runs.map((run) => run.id));
  let rows;
  if (state.mode === "runs") {
    rows = runs.map((run) => ({ key: run.id, run, title: run.name, control: run.control, number: (m) => finite(run.result[m]) ? run.result[m] : null, value: (k) => value(run, k), n: 1, colour: colourOf(run) }));
  } else {
    rows = sectionGroups().filter((group) => group.runs.some((i) => kept.has(D.runs[i].id))).map((group) => {
      const cache = {};
      const est = (m) => m in cache ? cache[m] : cache[m] = groupEstimate(group, m, kept);
      const done = group.runs.filter((i) => D.runs[i].state === "done" && kept.has(D.runs[i].id)).length;
      return { key: String(group.id), group, title: group.label, control: group.control, est, number: (m) => est(m)?.[1] ?? null, value: (k) => group.values[k], n: done, of: group.runs.length, colour: colourOf(D.runs[group.runs[0]]) };
    });
  }
  const key = state.sort ?? D.sort, down = state.down;
  rows.sort((a, b) => compareRows(a, b, key, down));
  const metric = info(D.sort).better ? D.sort : "val/nats";
  const ranked = rows.filter((row) => !row.control && row.number(metric) !== null && (row.group || row.run.state === "done"));
  const best = ranked.reduce((top, row) => !top || info(metric).better * (row.number(metric) - top.number(metric)) > 0 ? row : top, null);
  const levels = D.sections[state.section].levels;
  const marked = rows.map((row) => ({ ...row, best: row === best }));
  for (const [name, values] of Object.entries(levels)) {
    const level = { key: `level-${name}`, level: D.level_names[name] ?? name, title: name, number: (m) => values[m] ?? null, value: () => undefined };
    const mine = level.number(key);
    let place = marked.length;
    if (mine !== null) { place = marked.findIndex((row) => { const other = row.number(key); return other === null || (down ? other < mine : other > mine); }); if (place < 0) place = marked.length; }
    marked.splice(place, 0, level);
  }
  return marked;
}
function drawTable() {
  const rows = tableRows(), grouped = state.mode === "groups", coded = new Set(sectionGroups().map((group) => group.code)).size > 1;
  const tested = grouped && D.baseline, key = state.sort ?? D.sort;
  const columns = [
    { key: "name", title: "run" }, ...keysHere().map((k) => ({ key: k, title: D.headings[k] })),
    grouped ? { key: "n", title: "n", num: true } : { key: "seed", title: "seed", num: true }, ...(grouped ? [] : [{ key: "state", title: "state" }]),
    ...D.metrics.map((m) => ({ key: m, title: heading(m), num: true, metric: true })),
    ...(tested ? [{ title: `Δ ${heading(D.metrics[0])}`, num: true, pair: true }, { title: "p", num: true, p: true }] : []), ...(coded ? [{ title: "code", code: true }] : []),
  ];
  const head = h("tr", {}, columns.map((column) => {
    const sorted = column.key === key;
    return h("th", { class: column.num ? "num" : null, scope: "col", "aria-sort": sorted ? (state.down ? "descending" : "ascending") : null, title: column.key ? (column.metric ? info(column.key).title : column.key) : null },
      column.key ? h("button", { type: "button", "data-sort": column.key, onclick: () => sortBy(column.key) }, breakable(column.title)) : breakable(column.title));
  }));
  const numericKeys = new Set(keysHere().filter((k) => rows.every((row) => row.level || typeof row.value(k) === "number" || row.value(k) === undefined)));
  const body = rows.slice(0, state.rows).flatMap((row) => [h("tr", {
    "data-key": row.level ? null : row.key, "data-level": row.level ? row.title : null, class: [row.best ? "best" : "", row.level ? "level" : "", notes(row).length ? "noted" : "", picked(row) ? "picked" : ""].join(" ").trim() || null,
    tabindex: row.level ? null : "0", onclick: row.level ? null : () => open(row), onkeydown: row.level ? null : (event) => { if (event.key === "Enter") open(row); },
  }, columns.map((column) => cell(row, column, numericKeys))),
  notes(row).length ? h("tr", { class: "notes" }, h("td", { colspan: columns.length }, notes(row).map((note) => h("span", { class: `note${/failed|Error/.test(note) ? " bad" : ""}` }, note)))) : null].filter(Boolean));
  $("table").tHead.replaceChildren(head);
  $("table").tBodies[0].replaceChildren(...body);
  const more = rows.length - Math.min(rows.length, state.rows);
  const shown = visibleRuns().length, all = sectionRuns().length;
  $("table-told").replaceChildren(
    `${shown === all ? `${all}` : `${shown} of ${all}`} run${all === 1 ? "" : "s"}. ${grouped && rows.some((row) => row.est?.(D.metrics[0])?.[2] !== null) ? `± is half the 95 % interval of the mean over the n finished seeds (${D.interval}${D.interval === "t" || shown === all ? "" : "; t where some seeds are filtered out"}). ` : ""}`,
    D.baseline && grouped ? `Δ and p against ${D.baseline}: paired t-test over shared seeds${shown === all ? "" : ", also those filtered out"}, Holm-adjusted. ` : "",
    ...D.sections[state.section].shared.map((note) => `${note}. `),
    rows.some((row) => row.control) ? "Control: ordinary next-character training of the same network. " : "",
    more > 0 ? h("button", { type: "button", id: "more", onclick: () => { state.rows = Infinity; drawTable(); } }, `Show ${more} more rows`) : "");
  $("mode-groups").setAttribute("aria-pressed", grouped); $("mode-runs").setAttribute("aria-pressed", !grouped);
}
function cell(row, column, numericKeys) {
  const attributes = { class: column.num || numericKeys.has(column.key) ? "num" : null };
  if (row.level) return h("td", attributes, column.key === "name" ? `${row.level} level` : column.metric && row.number(column.key) !== null ? number(row.number(column.key), info(column.key).digits) : "");
  if (column.key === "name") {
    const control = row.control && row.title !== "control" ? h("small", {}, " control") : null;
    return h("td", { class: "name" }, h("div", {}, h("span", { class: "swatch", style: { borderTopColor: row.colour } }), h("span", {}, row.best ? "★ " : "", breakable(row.title), control)));
  }
  if (column.key === "n") return h("td", attributes, row.n === row.of ? row.n : `${row.n} of ${row.of}`);
  if (column.key === "state") return h("td", attributes, h("span", { class: `state ${row.run.state}` }, row.run.told));
  if (column.key === "seed") return h("td", attributes, show(row.run.seed));
  if (column.pair) return h("td", attributes, row.group.baseline ? "baseline" : row.group.pair ? `${row.group.pair.difference > 0 ? "+" : ""}${number(row.group.pair.difference, info(D.metrics[0]).digits)}` : "–");
  if (column.p) return h("td", { ...attributes, title: row.group.pair?.p }, (row.group.pair?.p ?? "").replace(/ \(.*/, ""));
  if (column.code) return h("td", attributes, (row.group ?? D.groups[row.run.group]).code.slice(0, 8) || "unknown");
  if (column.metric) {
    const digits = info(column.key).digits;
    const told = row.est ? row.est(column.key) : null;
    if (told) return h("td", attributes, number(told[1], digits), told[2] === null || (told[3] === told[2] && !digits) ? null : h("small", {}, ` ±${((told[3] - told[2]) / 2).toFixed(digits)}`));
    const alone = row.number(column.key);
    if (alone !== null) return h("td", attributes, number(alone, digits), row.run && row.run.state !== "done" ? h("small", {}, " so far") : null);
    return h("td", attributes, "–");
  }
  return h("td", attributes, show(row.value(column.key)));
}
// Long words may break after an underscore, a point or a hyphen.
const breakable = (title) => title.split(/(?<=[_.-])/).flatMap((part, i) => i ? [h("wbr"), part] : [part]);
const notes = (row) => row.group ? row.group.notes : row.run?.reason ? [row.run.reason] : [];
const picked = (row) => row.run ? row.run.id === state.a : row.group ? row.group.runs.some((i) => D.runs[i].id === state.a) : false;
function open(row) { choose(row.run ? row.run.id : D.runs[row.group.runs[0]].id); }
function sortBy(key) {
  const current = state.sort ?? D.sort;
  state.down = key === current ? !state.down : info(key).better > 0;
  state.sort = key;
  drawTable();
}
