// What is shown, in the address: a link shows what its sender saw. Only what the reader chose is
// written; what it names and isn't there (any more) is passed over.
const LISTED = 40;
const oneOf = (values, text, usual) => (values.includes(text) ? text : usual);
// Each part of the address: how it is written, and how it is read.
const PARTS = {
  table: {
    write: () => String(state.section),
    read: (text) => { state.section = D.sections[text] ? Number(text) : 0; },
  },
  rows: {
    write: () => state.mode,
    read: (text) => { state.mode = oneOf(["groups", "runs"], text, "groups"); },
  },
  filter: { write: () => state.filter, read: (text) => { state.filter = text; } },
  sort: {
    write: () => (state.sort ? `${state.sort.down ? "-" : ""}${state.sort.key}` : ""),
    read: (text) => {
      state.sort = text ? { key: text.replace(/^-/, ""), down: text.startsWith("-") } : null;
    },
  },
  metrics: {
    write: () => state.metrics.join(","),
    read: (text) => { state.metrics = text.split(",").filter((name) => D.curves.includes(name)); },
  },
  x: {
    write: () => state.x,
    read: (text) => { state.x = oneOf(Object.keys(D.axes), text, D.axis); },
  },
  lines: {
    write: () => state.lines,
    read: (text) => { state.lines = oneOf(["groups", "runs"], text, "groups"); },
  },
  colour: { write: () => state.colour, read: (text) => { state.colour = text; } },
  smooth: {
    write: () => String(state.smoothing),
    read: (text) => { state.smoothing = Math.max(0, Math.min(0.98, Number(text) || 0)); },
  },
  log: { write: () => (state.log ? "1" : ""), read: (text) => { state.log = text === "1"; } },
  zoom: {
    write: () => {
      const { xs, ys, metric } = state.zoom ?? {};
      if (!xs) return "";
      const ends = [...xs, ...(ys ?? [])].map((end) => +end.toPrecision(6));
      return [...ends, ys ? metric : ""].join(",");
    },
    read: (text) => {
      const parts = text.split(","), metric = parts.pop(), [a, b, c, d] = parts.map(Number);
      const ys = finite(c) && finite(d) ? [c, d] : null;
      state.zoom = finite(a) && b > a ? { xs: [a, b], ys, metric: ys && metric } : null;
    },
  },
  hidden: {
    write: () => {
      const hidden = [...state.hidden], shown = drawn.map(toggleKey);
      if (hidden.length <= LISTED) return hidden.join(",");
      return `but,${shown.filter((key) => !state.hidden.has(key)).slice(0, LISTED).join(",")}`;
    },
    read: (text) => {
      const keys = text.split(",").filter(Boolean), but = keys[0] === "but";
      const all = state.lines === "runs"
        ? D.runs.map((run) => toggleKey({ run }))
        : D.groups.map((group) => toggleKey({ group }));
      state.hidden = new Set(but ? all.filter((key) => !keys.includes(key)) : keys);
    },
  },
  final: { write: () => state.parMetric ?? "", read: (text) => { state.parMetric = text; } },
  against: { write: () => state.axisKey ?? "", read: (text) => { state.axisKey = text; } },
  kept: {
    write: () => Object.entries(state.brushes).map(([key, ends]) =>
      [key, ...ends.map((end) => +end.toFixed(4))].join(":")).join(","),
    read: (text) => {
      const brushes = text.split(",").filter(Boolean).map((part) => part.split(":"));
      state.brushes = Object.fromEntries(brushes.map(([key, low, high]) =>
        [key, [Number(low) || 0, finite(Number(high)) ? Number(high) : 1]]));
    },
  },
  game: { write: () => state.game ?? "", read: (text) => { state.game = text; } },
  run: { write: () => state.a ?? "", read: (text) => { state.a = text; } },
  beside: { write: () => state.b ?? "", read: (text) => { state.b = text || null; } },
  all: {
    write: () => (state.onlyDifferent ? "" : "1"),
    read: (text) => { state.onlyDifferent = text !== "1"; },
  },
};
let usual = {}, written = "";

const asParts = () =>
  Object.fromEntries(Object.entries(PARTS).map(([name, { write }]) => [name, write()]));
// What there is to see before a reader chooses anything.
function rememberUsual() {
  usual = asParts();
}
const escaped = (text) =>
  encodeURIComponent(text).replace(/%(2F|2C|3A)/g, (code) => decodeURIComponent(code));
function writeAddress() {
  const parts = Object.entries(asParts()).filter(([name, text]) => text !== usual[name]);
  const text = parts.map(([name, text]) => `${name}=${escaped(text)}`).join("&");
  if (text === written) return;
  written = text;
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}
function readAddress() {
  const wanted = {};
  for (const part of location.hash.slice(1).split("&")) {
    const at = part.indexOf("=");
    if (at < 0) continue;
    try {
      wanted[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1));
    } catch {
      // A broken escape says nothing.
    }
  }
  if (!Object.keys(wanted).some((name) => Object.hasOwn(PARTS, name))) return;
  written = location.hash.slice(1);
  for (const [name, { read }] of Object.entries(PARTS)) read(wanted[name] ?? usual[name] ?? "");
  const { zoom } = state;
  showChoices();
  showSection();
  if (zoom) zoomTo(zoom.xs, zoom.ys, zoom.metric);
}
// Controls that say what was chosen, where the choice didn't come from them.
function showChoices() {
  $("section").value = String(state.section);
  $("filter").value = state.filter;
  $("lines").value = state.lines;
  $("smooth").value = state.smoothing;
  tellSmoothing();
  $("log").checked = state.log;
  $("only-different").checked = state.onlyDifferent;
}
