// What is shown: the data, the choices of the reader, and who passes filter and brushes.
let D = null;
const state = {
  section: 0, mode: "groups", filter: "", sort: null, rows: 150,
  metrics: [], x: null, lines: "groups", colour: "auto", smoothing: 0, log: false, zoom: null,
  hidden: new Set(), brushes: {}, parMetric: null, axisKey: null,
  game: null, a: null, b: null, onlyDifferent: true,
};
let passes = () => true;
const factsOf = new Map();

// What a filter may ask about a run.
function facts(run) {
  if (!factsOf.has(run.id)) factsOf.set(run.id, makeFacts(run));
  return factsOf.get(run.id);
}
function makeFacts(run) {
  const own = { ...D.facts, ...run.facts }, done = run.state === "done";
  const tables = [own, run.config, D.base, done ? run.result : {}];
  const get = (key) => tables.find((table) => Object.hasOwn(table, key))?.[key];
  // Words are looked for in what is on the screen, not in every shared default.
  let words = null;
  const { title } = D.sections[run.section];
  const seen = () => [[run.name, run.state, run.reason, title], run.facts, run.config, run.notes]
    .flatMap(Object.values);
  return { get, words: () => (words ??= seen().map(show).join(" ").toLowerCase()) };
}

// A curve on the axis chosen, [xs, ys, whether it was thinned], or null.
function curveOf(run, metric) {
  const raw = run.curves[metric];
  if (!raw) return null;
  run.read ??= new Map();
  const key = `${state.x} ${metric}`;
  if (!run.read.has(key)) run.read.set(key, readCurve(placesOf(run), raw));
  return run.read.get(key);
}
function placesOf({ places }) {
  const own = places[state.x] ?? [];
  // Where an axis goes evenly with the steps, there is only its pace.
  return Array.isArray(own) ? own : places.steps.map((step) => step * own);
}
function readCurve(places, [at, values, thinned]) {
  const kept = at.map((_, i) => i).filter((i) => finite(places[at[i]]));
  if (!kept.length) return null;
  return [kept.map((i) => places[at[i]]), kept.map((i) => values[i]), thinned];
}
const axisTitle = () => D.axes[state.x];

const section = () => D.sections[state.section];
const sectionRuns = () => D.runs.filter((run) => run.section === state.section);
const sectionGroups = () => D.groups.filter((group) => group.section === state.section);
const filteredRuns = () => sectionRuns().filter((run) => passes(facts(run)));
const visibleRuns = () => filteredRuns().filter((run) => inBrushes(run));
const membersOf = (group) => group.runs.map((at) => D.runs[at]);
const groupOf = (run) => D.groups[run.group];

// The keys that differ among the runs shown; other sections have their own.
const keyColumns = () => section().tables.groups.columns.filter(({ kind }) => kind === "key");
const value = (run, key) => (key in run.config ? run.config[key] : D.base[key]);
// A configuration's value of a key in words, as the table has it.
function word(group, key) {
  const at = section().tables.groups.columns.findIndex((column) => column.name === key);
  return group.cells[at];
}
const info = (metric) => D.info[metric] ?? { title: metric, better: 0, digits: 4 };
const heading = (name) =>
  info(name).heading ?? keyColumns().find((column) => column.name === name)?.heading ?? name;
const toggleKey = (line) => (line.run ? `r${line.run.id}` : `g${line.group.key}`);
