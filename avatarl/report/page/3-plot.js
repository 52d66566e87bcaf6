// A canvas with axes and an overlay for what follows the mouse.
class Plot {
  constructor(box) {
    this.box = box;
    [this.canvas, this.over] = box.querySelectorAll("canvas");
    this.tip = box.querySelector(".tip");
    this.margin = { left: 58, right: 62, top: 10, bottom: 38 };
    this.draw = () => {};
    new ResizeObserver(() => this.redraw()).observe(box);
  }
  redraw() { if (this.box.clientWidth > 0) this.draw(); }
  begin() {
    const ratio = devicePixelRatio || 1;
    this.width = this.box.clientWidth; this.height = this.canvas.clientHeight;
    for (const canvas of [this.canvas, this.over]) {
      if (!canvas) continue;
      if (canvas.width !== Math.round(this.width * ratio) || canvas.height !== Math.round(this.height * ratio)) {
        canvas.width = Math.round(this.width * ratio); canvas.height = Math.round(this.height * ratio);
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, this.width, this.height);
      pen.font = "12px system-ui, 'DejaVu Sans', sans-serif"; pen.lineJoin = "round";
    }
    this.pen = this.canvas.getContext("2d");
    return this.pen;
  }
  get inner() { const { left, right, top, bottom } = this.margin; return { x0: left, x1: this.width - right, y0: this.height - bottom, y1: top }; }
  scales(xs, ys, log = false) {
    const { x0, x1, y0, y1 } = this.inner, level = log ? Math.log : (value) => value, back = log ? Math.exp : (value) => value;
    const [a, b] = ys.map(level);
    this.x = (value) => x0 + (value - xs[0]) / (xs[1] - xs[0] || 1) * (x1 - x0);
    this.y = (value) => y0 - (level(value) - a) / (b - a || 1) * (y0 - y1);
    this.unx = (pixel) => xs[0] + (pixel - x0) / (x1 - x0) * (xs[1] - xs[0]);
    this.uny = (pixel) => back(a + (y0 - pixel) / (y0 - y1) * (b - a));
    this.xs = xs; this.ys = ys; this.log = log;
  }
  axes(xTitle, yTitle, { xTicks = null, few = false } = {}) {
    const pen = this.pen, { x0, x1, y0, y1 } = this.inner;
    pen.strokeStyle = css("--grid"); pen.fillStyle = css("--soft"); pen.lineWidth = 1;
    pen.textAlign = "right"; pen.textBaseline = "middle";
    for (const tick of ticks(this.ys[0], this.ys[1], few ? 3 : 6, this.log)) {
      const y = this.y(tick); pen.beginPath(); pen.moveTo(x0, y); pen.lineTo(x1, y); pen.stroke(); pen.fillText(brief(tick), x0 - 7, y);
    }
    pen.textAlign = "center"; pen.textBaseline = "top";
    for (const [place, word] of xTicks ?? ticks(this.xs[0], this.xs[1], few ? 3 : 6).map((tick) => [tick, brief(tick)])) {
      const x = this.x(place); pen.beginPath(); pen.moveTo(x, y0); pen.lineTo(x, y1); pen.stroke(); pen.fillText(word, x, y0 + 6);
    }
    pen.strokeStyle = css("--soft"); pen.beginPath(); pen.moveTo(x0, y1); pen.lineTo(x0, y0); pen.lineTo(x1, y0); pen.stroke();
    pen.fillText(xTitle, (x0 + x1) / 2, y0 + 22);
    if (yTitle) { pen.save(); pen.translate(12, (y0 + y1) / 2); pen.rotate(-Math.PI / 2); pen.textBaseline = "middle"; pen.fillText(yTitle, 0, 0); pen.restore(); }
  }
  clipped(work) { const pen = this.pen, { x0, x1, y0, y1 } = this.inner; pen.save(); pen.beginPath(); pen.rect(x0, y1, x1 - x0, y0 - y1); pen.clip(); work(pen); pen.restore(); }
  line(pen, xs, ys) { pen.beginPath(); for (let i = 0; i < xs.length; i++) { const x = this.x(xs[i]), y = this.y(ys[i]); if (i) pen.lineTo(x, y); else pen.moveTo(x, y); } pen.stroke(); }
  levels(levels, metric, names) {
    const pen = this.pen, { x0, x1, y0, y1 } = this.inner;
    for (const [name, values] of Object.entries(levels)) {
      const y = finite(values[metric]) ? this.y(values[metric]) : NaN;
      if (!(y <= y0 && y >= y1)) continue;
      pen.strokeStyle = css("--level"); pen.fillStyle = css("--level"); pen.setLineDash([7, 4]); pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(x0, y); pen.lineTo(x1, y); pen.stroke(); pen.setLineDash([]);
      pen.textAlign = "left"; pen.textBaseline = "middle"; pen.fillText(names[name] ?? name, x1 + 5, y);
    }
  }
  clearOver() { const pen = this.over.getContext("2d"); pen.clearRect(0, 0, this.width, this.height); return pen; }
  tell(x, y, ...children) {
    if (!children.length) { this.tip.hidden = true; return; }
    this.tip.replaceChildren(...children); this.tip.hidden = false;
    const wide = this.tip.offsetWidth, tall = this.tip.offsetHeight;
    this.tip.style.left = `${x + 14 + wide > this.width ? Math.max(0, x - wide - 14) : x + 14}px`;
    this.tip.style.top = `${Math.max(0, Math.min(this.height - tall, y - tall - 8))}px`;
  }
}
function ticks(low, high, count, log = false) {
  if (!(high > low)) return [low];
  if (log && high / low > 20) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) for (const step of high / low > 1e3 ? [1] : [1, 2, 5]) { const tick = step * 10 ** power; if (tick >= low && tick <= high) found.push(tick); }
    return found;
  }
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw)), part = raw / power;
  const step = power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10), found = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) found.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return found;
}
const DASHES = { "-": [], "--": [7, 4], ":": [2, 3], "-.": [8, 3, 2, 3] };
function extent(values, margin = 0.05) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  if (low > high) return [0, 1];
  const room = (high - low) * margin || Math.abs(high) * margin || margin;
  return [low - room, high + room];
}
function interpolate(curve, x) {
  const [xs, ys] = curve;
  let low = 0, high = xs.length - 1;
  if (x <= xs[0]) return ys[0];
  if (x >= xs[high]) return ys[high];
  while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] <= x) low = middle; else high = middle; }
  return ys[low] + (ys[high] - ys[low]) * (x - xs[low]) / (xs[high] - xs[low] || 1);
}
// Exponential smoothing, corrected at the start so that it doesn't lean on the first value.
function smooth(ys, weight) {
  if (!weight) return ys;
  let sum = 0, norm = 0;
  return ys.map((y) => { sum = weight * sum + (1 - weight) * y; norm = weight * norm + (1 - weight); return sum / norm; });
}
