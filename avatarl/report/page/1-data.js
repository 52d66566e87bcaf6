"use strict";
// The page's data: one gzipped JSON object in base64, so that no text of a run is ever markup.
async function decode(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Builds an element; children that are strings become text nodes, never markup.
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name in node && typeof value === "boolean") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return node;
}
const $ = (id) => document.getElementById(id);
const finite = (value) => typeof value === "number" && Number.isFinite(value);

function show(value) {
  if (value === undefined) return "–";
  if (value === null) return "null";
  if (typeof value === "number") return String(+value.toPrecision(6));
  return typeof value === "string" ? value : JSON.stringify(value);
}
function number(value, digits = 4) {
  if (!finite(value)) return "–";
  if (value !== 0 && digits && Math.abs(value) < 10 ** -digits) return value.toExponential(1);
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
function brief(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) if (size >= unit) return +(value / unit).toPrecision(4) + letter;
  return String(+value.toPrecision(4));
}
// Numbers as numbers and before words; the references in the order of their context.
const LADDER = ["none", "uniform", "unigram", "bigram", "trigram", "ngram4"];
function natural(a, b) {
  const rank = (word) => LADDER.indexOf(word) >= 0 ? [0, LADDER.indexOf(word)] : word !== "" && finite(+word) ? [1, +word] : [2, 0];
  const [p, q] = [rank(a), rank(b)];
  return p[0] - q[0] || p[1] - q[1] || (a < b ? -1 : a > b ? 1 : 0);
}
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"];
const RAMP = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
function ramp(t) {
  const place = Math.max(0, Math.min(1, dark() ? 1 - t * 0.75 : t * 0.88)) * (RAMP.length - 1);
  const low = Math.floor(place), part = place - low, high = Math.min(RAMP.length - 1, low + 1);
  const mix = (at) => Math.round(parseInt(RAMP[low].slice(at, at + 2), 16) * (1 - part) + parseInt(RAMP[high].slice(at, at + 2), 16) * part);
  return `rgb(${mix(1)},${mix(3)},${mix(5)})`;
}
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Mean and 95 % interval by t, as the command line computes them.
function estimate(values, quantiles) {
  const n = values.length;
  if (!n) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return [1, mean, null, null];
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  const half = quantiles[Math.min(n - 1, quantiles.length - 1)] * spread / Math.sqrt(n);
  return [n, mean, mean - half, mean + half];
}
