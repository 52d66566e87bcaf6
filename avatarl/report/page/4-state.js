// What is shown: the data, the choices of the reader, and who passes filter and brushes.
let D = null;
const state = { section: 0, mode: "groups", filter: "", sort: null, down: false, hidden: new Set(), metric: null, lines: "groups", colour: "auto", smoothing: 0, log: false, zoom: null, brushes: {}, parMetric: null, axisKey: null, a: null, b: null, onlyDifferent: true, rows: 150 };
let passes = () => true;
const factsOf = new Map();

function facts(run) {
  if (!factsOf.has(run.id)) {
    const own = { run_id: run.id, name: run.name, state: run.state, seed: run.seed, corpus: D.sections[run.section].corpus, track: D.sections[run.section].track, code: run.code, is_control: run.control, directory: run.dir };
    let words = null;
    factsOf.set(run.id, {
      get: (key) => key in own ? own[key] : key in run.config ? run.config[key] : key in D.base ? D.base[key] : run.state === "done" ? run.result[key] : undefined,
      // Words are looked for in what is on the screen, not in every shared default.
      words: () => words ??= [...Object.values(own), run.reason, ...Object.values(run.config), ...Object.values(run.notes ?? {})].map((value) => show(value).toLowerCase()).join(" "),
    });
  }
  return factsOf.get(run.id);
}
function knownKeys() {
  const known = new Set(["run_id", "name", "state", "seed", "corpus", "track", "code", "is_control", "directory", ...Object.keys(D.base)]);
  for (const run of D.runs) { for (const key in run.config) known.add(key); for (const key in run.result) known.add(key); }
  return known;
}
// The keys that differ among the runs shown; other sections have their own.
const keysHere = () => D.sections[state.section].keys;
const config = (run) => ({ ...D.base, ...run.config });
const value = (run, key) => key in run.config ? run.config[key] : D.base[key];
const word = (run, key) => { const found = value(run, key); return found === undefined ? "–" : show(found); };
const info = (metric) => D.info[metric] ?? { title: metric, better: 0, digits: 4 };
const heading = (metric) => info(metric).heading ?? metric;
const sectionRuns = () => D.runs.filter((run) => run.section === state.section);
const filteredRuns = () => sectionRuns().filter((run) => passes(facts(run)));
const visibleRuns = () => filteredRuns().filter((run) => inBrushes(run));
const sectionGroups = () => D.groups.filter((group) => group.section === state.section);
function runName(run) {
  const keys = keysHere().filter((key) => value(run, key) !== undefined).map((key) => word(run, key)).join(", ");
  return `${run.name}${keys ? ` · ${keys}` : ""}${run.seed === null || run.seed === undefined ? "" : ` · seed ${show(run.seed)}`}`;
}
function groupName(group) {
  const keys = keysHere().filter((key) => key in group.values).map((key) => show(group.values[key])).join(", ");
  if (!group.control) return keys || group.label;
  return keys && sectionGroups().filter((other) => other.control).length > 1 ? `control · ${keys}` : "control";
}
// A group's numbers over those of its runs that pass; the command line's own where all do.
function groupEstimate(group, metric, kept) {
  const done = group.runs.map((i) => D.runs[i]).filter((run) => run.state === "done");
  const those = done.filter((run) => kept.has(run.id));
  if (those.length === done.length) return group.est[metric] ?? null;
  return estimate(those.map((run) => run.result[metric]).filter(finite), D.quantiles);
}
function colourOf(run) {
  const group = D.groups[run.group];
  if (state.colour === "auto") return group.look.muted ? ramp((group.rank ?? 0)) : run.control ? css("--ink") : group.look.colour;
  if (state.colour.startsWith("metric:")) return metricColour(run, state.colour.slice(7));
  const words = [...new Set(sectionRuns().map((other) => word(other, state.colour)))].sort(natural);
  const place = words.indexOf(word(run, state.colour));
  return words.length <= PALETTE.length ? PALETTE[place] : ramp(place / (words.length - 1));
}
function metricColour(run, metric) {
  const mine = run.result[metric];
  if (!finite(mine)) return css("--level");
  const all = metricRange(metric);
  const t = (mine - all[0]) / (all[1] - all[0] || 1);
  return ramp(info(metric).better > 0 ? 1 - t : t);
}
const ranges = new Map();
function metricRange(metric) {
  const key = `${state.section} ${metric}`;
  if (!ranges.has(key)) ranges.set(key, extent(sectionRuns().map((run) => run.result[metric]).filter(finite), 0));
  return ranges.get(key);
}
const toggleKey = (line) => line.run ? `r${line.run.id}` : `g${line.group.key}`;
