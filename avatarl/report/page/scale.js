// Ticks, ranges, and curves read between their points.
function ticks(low, high, count, log = false) {
  if (!(high > low)) return [low];
  return log && high / low > 20 ? powers(low, high) : rounds(low, high, count);
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

function extent(values, margin = 0.05) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  const room = (high - low) * margin || Math.abs(high) * margin || margin;
  return [low - room, high + room];
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
