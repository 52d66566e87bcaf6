// A canvas with axes, and an overlay for what follows pointer and keys. Beneath it, where it has a
// name: its picture as a file, and what it shows as a table.
const FONT = "12px system-ui, 'DejaVu Sans', sans-serif";
const DASHES = { "-": [], "--": [7, 4], ":": [2, 3], "-.": [8, 3, 2, 3] };
const MARGIN = { left: 64, right: 62, top: 10, bottom: 38 };

class Plot {
  // `label` says in words what there is to see, `behind` gives it as [headings, rows], `legend`
  // what tells its lines apart: [{ title, colour, dash }].
  constructor(box, draw, { name = null, margin = MARGIN, label, behind, legend, keys } = {}) {
    this.canvas = h("canvas", { role: "img" });
    this.over = h("canvas", { class: "over" });
    this.tip = h("div", { class: "tip", role: "status", hidden: true });
    box.append(this.canvas, this.over, this.tip);
    Object.assign(this, { box, draw, name, margin, label, behind, legend });
    if (name) box.append(plotTools(this));
    if (keys) this.listenToKeys(keys);
    new ResizeObserver(() => this.redraw()).observe(box);
    plots.add(this);
  }

  redraw() {
    if (!(this.box.clientWidth > 0)) return;
    this.draw(this);
    this.canvas.setAttribute("aria-label", this.label?.() ?? "");
    if (this.table?.open) fillBehind(this);
  }

  // Clears both canvases, at the screen's resolution, and returns the pen; an export has its own.
  begin() {
    if (this.target) {
      this.target.font = FONT;
      return (this.pen = this.target);
    }
    const ratio = devicePixelRatio || 1;
    this.width = this.box.clientWidth;
    this.height = this.canvas.clientHeight;
    const wide = Math.round(this.width * ratio), tall = Math.round(this.height * ratio);
    for (const canvas of [this.canvas, this.over]) {
      if (canvas.width !== wide || canvas.height !== tall) {
        canvas.width = wide;
        canvas.height = tall;
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, this.width, this.height);
      pen.font = FONT;
      pen.lineJoin = "round";
    }
    this.pen = this.canvas.getContext("2d");
    return this.pen;
  }

  get inner() {
    const { left, right, top, bottom } = this.margin;
    return { x0: left, x1: this.width - right, y0: this.height - bottom, y1: top };
  }

  scales(xs, ys, { x = LINEAR, y = LINEAR } = {}) {
    const { x0, x1, y0, y1 } = this.inner, [left, right] = xs.map(x.level);
    const [low, high] = ys.map(y.level);
    this.x = (value) => x0 + (x.level(value) - left) / (right - left || 1) * (x1 - x0);
    this.y = (value) => y0 - (y.level(value) - low) / (high - low || 1) * (y0 - y1);
    this.unx = (pixel) => x.back(left + (pixel - x0) / (x1 - x0) * (right - left));
    this.uny = (pixel) => y.back(low + (y0 - pixel) / (y0 - y1) * (high - low));
    Object.assign(this, { xs, ys, scale: { x, y } });
  }

  axes(xTitle, yTitle, { xTicks = null, few = false } = {}) {
    const pen = this.pen, { x0, x1, y0, y1 } = this.inner, count = few || x1 - x0 < 300 ? 3 : 6;
    const told = (tick) => [tick, brief(tick)], { x: across, y: up } = this.scale;
    const marks = xTicks ?? ticks(...this.xs, count, across).map(told);
    pen.strokeStyle = css("--grid");
    pen.fillStyle = css("--soft");
    pen.lineWidth = 1;
    for (const tick of ticks(...this.ys, few ? 3 : 6, up)) {
      const y = this.y(tick);
      this.stroke([x0, y], [x1, y]);
      this.text(brief(tick), x0 - 7, y, "right");
    }
    for (const [place, word] of marks) {
      const x = this.x(place);
      this.stroke([x, y0], [x, y1]);
      this.text(word, x, y0 + 6, "center", "top");
    }
    pen.strokeStyle = css("--soft");
    this.stroke([x0, y1], [x0, y0], [x1, y0]);
    this.text(xTitle, (x0 + x1) / 2, y0 + 22, "center", "top");
    pen.save();
    pen.translate(12, (y0 + y1) / 2);
    pen.rotate(-Math.PI / 2);
    this.text(yTitle, 0, 0, "center", "middle", y0 - y1 + this.margin.top);
    pen.restore();
  }

  text(text, x, y, align = "left", baseline = "middle", width = undefined) {
    this.pen.textAlign = align;
    this.pen.textBaseline = baseline;
    this.pen.fillText(text, x, y, width);
  }

  stroke(...points) {
    this.pen.beginPath();
    points.forEach(([x, y], i) => (i ? this.pen.lineTo(x, y) : this.pen.moveTo(x, y)));
    this.pen.stroke();
  }

  // Works within the axes only, on this canvas or on the overlay.
  clipped(work, pen = this.pen) {
    const { x0, x1, y0, y1 } = this.inner;
    pen.save();
    pen.beginPath();
    pen.rect(x0, y1, x1 - x0, y0 - y1);
    pen.clip();
    work(pen);
    pen.restore();
  }

  line(pen, xs, ys) {
    pen.beginPath();
    for (let i = 0; i < xs.length; i++) {
      if (i) pen.lineTo(this.x(xs[i]), this.y(ys[i]));
      else pen.moveTo(this.x(xs[i]), this.y(ys[i]));
    }
    pen.stroke();
  }

  levels(metric) {
    const pen = this.pen, { x0, x1, y0, y1 } = this.inner, seen = [];
    pen.strokeStyle = pen.fillStyle = css("--level");
    for (const [name, values] of Object.entries(section().levels)) {
      const y = finite(values[metric]) ? this.y(values[metric]) : NaN;
      if (!(y <= y0 && y >= y1)) continue;
      pen.setLineDash(DASHES["--"]);
      pen.lineWidth = 1;
      this.stroke([x0, y], [x1, y]);
      pen.setLineDash([]);
      seen.push({ at: y, text: D.level_names[name] ?? name });
    }
    for (const { at, text } of apart(seen, 13)) this.text(text, x1 + 5, at);
  }

  // A hollow or full triangle where an alarm was raised or cleared.
  alarm(pen, event, curve) {
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const x = event.places[state.x];
    const mark = event.state === "cleared" ? "▽" : "▲";
    pen.fillText(mark, this.x(x), this.y(interpolate(curve, x)));
  }

  clearOver() {
    const pen = this.over.getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    return pen;
  }

  // Shows a hint beside a place; without children, hides it.
  tell(x, y, ...children) {
    this.tip.hidden = !children.length;
    if (!children.length) return;
    this.tip.replaceChildren(...children);
    const wide = this.tip.offsetWidth, tall = this.tip.offsetHeight;
    const left = x + 14 + wide > this.width ? Math.max(0, x - wide - 14) : x + 14;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${Math.max(0, Math.min(this.height - tall, y - tall - 8))}px`;
  }

  place(event) {
    const box = this.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  on(event, act) {
    this.over.addEventListener(event, act);
  }

  // `keys` is { told, act }: what they do in words, and act(key, shift), which says if it did.
  listenToKeys({ told, act }) {
    for (const [name, value] of [["tabindex", "0"], ["role", "application"]]) {
      this.over.setAttribute(name, value);
    }
    this.over.setAttribute("aria-label", told);
    this.over.title = told;
    this.on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (act(event.key, event.shiftKey) !== false) event.preventDefault();
    });
    this.on("blur", () => this.leave());
  }

  leave() {
    this.clearOver();
    this.tell();
  }
}
const plots = new Set();

function disc(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
}

// Moves labels away from each other until they are `least` apart, from the lowest pixel on.
function apart(labels, least) {
  const sorted = [...labels].sort((a, b) => a.at - b.at);
  for (let round = 0; round < 20; round++) {
    for (let i = 1; i < sorted.length; i++) {
      const lacking = least - (sorted[i].at - sorted[i - 1].at);
      if (lacking <= 0) continue;
      sorted[i - 1].at -= lacking / 2;
      sorted[i].at += lacking / 2;
    }
  }
  return sorted;
}
