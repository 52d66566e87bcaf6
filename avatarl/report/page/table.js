// The table: configurations with their seeds aggregated, or single runs; n-gram levels among them.
const columnsShown = () => section().tables[state.mode].columns;
const sorting = () => state.sort ?? { key: D.sort, down: D.descending };
const unsortable = new Set(["difference", "p", "code"]);

function groupRow(group, kept) {
  const estimates = {};
  return {
    key: String(group.id), group, of: group, title: group.label, control: group.control,
    best: group.best, notes: group.notes, cells: cellsOf(group, kept),
    n: membersOf(group).filter((run) => run.state === "done" && kept.has(run.id)).length,
    number: (metric) => (estimates[metric] ??= groupEstimate(group, metric, kept))?.[1] ?? null,
    first: D.runs[group.runs[0]],
  };
}
function runRow(run) {
  return {
    key: run.id, run, of: groupOf(run), title: run.name, control: run.control, best: false,
    notes: run.reason ? [run.reason] : [], cells: run.cells, n: 1, first: run,
    number: (metric) => (finite(run.result[metric]) ? run.result[metric] : null),
  };
}
function levelRow(name) {
  return {
    level: name, title: name, notes: [], cells: section().tables[state.mode].levels[name],
    number: (metric) => section().levels[name][metric] ?? null,
  };
}

const keptRuns = () => new Set(visibleRuns().map((run) => run.id));
function tableRows() {
  const runs = visibleRuns(), kept = keptRuns();
  const whole = runs.length === sectionRuns().length;
  // The command line's order, levels among the configurations.
  const given = section().order.map((entry) =>
    typeof entry === "string" ? levelRow(entry) : groupRow(D.groups[entry], kept));
  const present = (row) => row.level || membersOf(row.group).some((run) => kept.has(run.id));
  if (state.mode === "groups" && whole && !state.sort) return given;
  const levels = given.filter((row) => row.level);
  const rows = state.mode === "runs"
    ? runs.map(runRow)
    : given.filter((row) => !row.level && present(row));
  if (!whole || state.mode === "runs") markBest(rows);
  return withLevels(sortRows(rows, sorting()), levels);
}
// Each level goes before the first row that is worse, or below them all.
function withLevels(rows, levels) {
  const { key, down } = sorting();
  for (const level of levels) {
    const mine = level.number(key);
    const beyond = (other) => other === null || (down ? other < mine : other > mine);
    const place = mine === null ? -1 : rows.findIndex((row) => beyond(row.number(key)));
    rows.splice(place < 0 ? rows.length : place, 0, level);
  }
  return rows;
}

function drawTable() {
  const rows = tableRows(), columns = columnsShown(), shown = rows.slice(0, state.rows);
  refill($("table").tHead, h("tr", {}, columns.map(headCell)));
  refill($("table").tBodies[0],
    ...shown.flatMap((row) => [bodyRow(row, columns), notesRow(row, columns)]).filter(Boolean),
  );
  const all = sectionRuns().length, left = visibleRuns().length, more = rows.length - shown.length;
  const counted = `${left === all ? all : `${left} of ${all}`} run${all === 1 ? "" : "s"}`;
  const notes = state.mode === "groups" ? [counted, ...section().notes] : [counted];
  if (state.mode === "groups" && left < all) {
    notes.push("where seeds are filtered out, mean and interval (t) are of those left, "
      + "Δ and p of all");
  }
  const showAll = () => {
    state.rows = Infinity;
    drawTable();
  };
  refill($("table-told"),
    notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}. `).join(""),
    more > 0
      ? h("button", { type: "button", id: "more", onclick: showAll }, `Show ${more} more rows`)
      : "",
  );
  $("mode-groups").setAttribute("aria-pressed", state.mode === "groups");
  $("mode-runs").setAttribute("aria-pressed", state.mode === "runs");
}

function headCell(column) {
  const { key, down } = sorting(), title = breakable(column.heading);
  const attributes = {
    class: column.numeric ? "num" : null, scope: "col",
    "aria-sort": column.name === key ? (down ? "descending" : "ascending") : null,
    title: column.kind === "metric" ? info(column.name).title : column.name,
  };
  if (unsortable.has(column.kind)) return h("th", { ...attributes, "aria-sort": null }, title);
  const sort = { type: "button", "data-sort": column.name, onclick: () => sortBy(column.name) };
  return h("th", attributes, h("button", sort, title));
}
function sortBy(key) {
  const current = sorting();
  state.sort = { key, down: key === current.key ? !current.down : info(key).better > 0 };
  drawTable();
}

function bodyRow(row, columns) {
  const cells = columns.map((column, at) => bodyCell(row, column, row.cells[at]));
  if (row.level) return h("tr", { "data-level": row.level, class: "level" }, cells);
  const marks = {
    best: row.best, noted: row.notes.length,
    picked: (row.run ? [row.run] : membersOf(row.group)).some(({ id }) => id === state.a),
  };
  const attributes = {
    "data-key": row.key, tabindex: "0", onclick: () => choose(row.first.id),
    class: Object.keys(marks).filter((mark) => marks[mark]).join(" ") || null,
    onkeydown: (event) => stepRows(event, row),
  };
  return h("tr", attributes, cells);
}
// Enter opens a row's run; the arrows go from row to row.
function stepRows(event, row) {
  if (event.key === "Enter") choose(row.first.id);
  const way = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  if (!way) return;
  event.preventDefault();
  let next = event.currentTarget[way];
  while (next && !next.dataset.key) next = next[way];
  next?.focus();
}
function bodyCell(row, column, text) {
  if (row.level) return h("td", { class: column.numeric ? "num" : null }, text);
  if (column.kind === "run") {
    const control = row.control && text !== "control" ? h("small", {}, " control") : null;
    const title = h("span", {}, row.best ? "★ " : "", breakable(text), control);
    const line = swatch(colourOf(row.first), dashOf(row.of));
    return h("td", { class: "name" }, h("div", {}, line, title));
  }
  if (column.kind === "state") {
    return h("td", {}, h("span", { class: `state ${row.run.state}` }, text));
  }
  // What follows the number (its interval, the pairs) stands back.
  const [main, rest] = ["metric", "difference", "p"].includes(column.kind)
    ? text.split(/(?<=\S)(?= )/, 2)
    : [text];
  const small = rest ? h("small", {}, text.slice(main.length)) : null;
  return h("td", { class: column.numeric ? "num" : null }, main, small);
}
function notesRow(row, columns) {
  if (!row.notes.length) return null;
  const bad = (note) => (/failed|Error/.test(note) ? " bad" : "");
  const notes = row.notes.map((note) => h("span", { class: `note${bad(note)}` }, note));
  return h("tr", { class: "notes" }, h("td", { colspan: columns.length }, notes));
}
