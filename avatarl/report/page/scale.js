// Scales, ticks, ranges, and curves read between their points.
// `level` gives numbers the places they are drawn at, `back` undoes it.
const LINEAR = { level: (x) => x, back: (x) => x, ticks: rounds };
const LOG = {
  level: Math.log, back: Math.exp,
  ticks: (low, high, count) => (high / low > 20 ? powers : rounds)(low, high, count),
};
// Linear from 0 to the least number above it, which takes half a power of ten.
function symlog(least) {
  return {
    level: (x) => (x <= least ? 0.5 * x / least : 0.5 + Math.log10(x / least)),
    back: (t) => (t <= 0.5 ? 2 * t * least : least * 10 ** (t - 0.5)),
    ticks: (low, high) => [0, ...powers(least, high)],
  };
}
// The section says which scale a key or metric has; by avatarl/report/scale.py.
function scaleOf(name, values) {
  const kind = section().scales[name];
  if (kind !== "symlog") return kind === "log" ? LOG : LINEAR;
  const least = Math.min(...values.filter((value) => value > 0));
  return finite(least) ? symlog(least) : LINEAR;
}

function ticks(low, high, count, scale = LINEAR) {
  return high > low ? scale.ticks(low, high, count) : [low];
}
function powers(low, high) {
  const list = [], steps = high / low > 1e3 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    list.push(...steps.map((step) => step * 10 ** power));
  }
  return list.filter((tick) => tick >= low && tick <= high);
}
function rounds(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw)), part = raw / power;
  const step = power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10), list = [];
  // A millionth of a step makes up for rounding.
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) {
    list.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  }
  return list;
}

function extent(values, margin = 0.05, { level, back } = LINEAR) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  [low, high] = [level(low), level(high)];
  const room = (high - low) * margin || Math.abs(high) * margin || margin;
  return [back(low - room), back(high + room)];
}

// The first place in an increasing list that isn't below `x`; the last one if all are.
function firstFrom(xs, x) {
  let low = 0, high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

function interpolate([xs, ys], x) {
  const at = firstFrom(xs, x);
  if (at === 0 || x >= xs[at]) return ys[at];
  const share = (x - xs[at - 1]) / (xs[at] - xs[at - 1]);
  return ys[at - 1] + (ys[at] - ys[at - 1]) * share;
}

// Exponential smoothing, corrected at the start so that it doesn't lean on the first value.
function smooth(ys, weight) {
  if (!weight) return ys;
  let sum = 0, norm = 0;
  return ys.map((y) => {
    sum = weight * sum + (1 - weight) * y;
    norm = weight * norm + (1 - weight);
    return sum / norm;
  });
}
