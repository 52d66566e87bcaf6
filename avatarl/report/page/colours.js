// How runs look: colours by configuration, by a key, or by a metric on a ramp; and dashes.

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches && !printing();

// `t` runs from 0 (good) to 1; the end that would vanish into the paper is left out.
function ramp(t) {
  const share = Math.max(0, Math.min(1, dark() ? 1 - t * 0.75 : t * 0.88));
  const place = share * (D.ramp.length - 1), low = Math.floor(place), part = place - low;
  const high = Math.min(D.ramp.length - 1, low + 1);
  const channel = (colour, at) => parseInt(colour.slice(at, at + 2), 16);
  const mix = (at) =>
    Math.round(channel(D.ramp[low], at) * (1 - part) + channel(D.ramp[high], at) * part);
  return `rgb(${mix(1)},${mix(3)},${mix(5)})`;
}

function colourOf(run) {
  const group = groupOf(run);
  if (state.colour === "auto") {
    if (group.look.muted) return ramp(group.look.rank);
    return run.control ? css("--ink") : group.look.colour;
  }
  if (state.colour.startsWith("metric:")) return metricColour(run, state.colour.slice(7));
  const words = section().words[state.colour], place = words.indexOf(word(group, state.colour));
  if (place < 0) return css("--level");
  return words.length <= D.palette.length ? D.palette[place] : ramp(place / (words.length - 1));
}

function metricColour(run, metric) {
  const value = run.result[metric];
  if (!finite(value)) return css("--level");
  const [low, high] = metricRange(metric);
  const t = (value - low) / (high - low || 1);
  return ramp(info(metric).better > 0 ? 1 - t : t);
}

const ranges = new Map();
function metricRange(metric) {
  const key = `${state.section} ${metric}`;
  if (!ranges.has(key)) {
    ranges.set(key, extent(sectionRuns().map((run) => run.result[metric]).filter(finite), 0));
  }
  return ranges.get(key);
}

const dashOf = (group) => DASHES[group.look.dash] ?? [];
// A piece of a run's or configuration's line, for table and legend.
function swatch(colour, dash) {
  const kind = dash === DASHES[":"] ? "dotted" : dash.length ? "dashed" : "solid";
  return h("span", { class: "swatch", style: { borderTopColor: colour, borderTopStyle: kind } });
}
