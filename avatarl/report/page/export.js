// What leaves the page: plots as SVG and PNG, tables as CSV, and the tables behind the plots.
const PNG_SCALE = 3;

// Draws as a canvas' pen does, into an SVG; as much of one as the plots use.
class SvgPen {
  constructor(width, height) {
    this.root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    this.nodes = [this.root];
    this.kept = [];
    this.measure = document.createElement("canvas").getContext("2d");
    Object.assign(this, {
      strokeStyle: "#000", fillStyle: "#000", lineWidth: 1, globalAlpha: 1, font: FONT,
      textAlign: "left", textBaseline: "middle", path: "", dash: [],
    });
  }

  add(tag, attributes, ...children) {
    const node = svg(tag, attributes, ...children);
    this.nodes.at(-1).append(node);
    return node;
  }
  measureText(text) {
    this.measure.font = this.font;
    return this.measure.measureText(text);
  }
  setLineDash(dash) { this.dash = dash; }
  beginPath() { this.path = ""; }
  moveTo(x, y) { this.path += `M${fixed(x)} ${fixed(y)}`; }
  lineTo(x, y) { this.path += `${this.path ? "L" : "M"}${fixed(x)} ${fixed(y)}`; }
  rect(x, y, wide, tall) {
    const [a, b, c, d] = [x, y, wide, tall].map(fixed);
    this.path += `M${a} ${b}h${c}v${d}h${-c}z`;
  }
  // Whole circles only.
  arc(x, y, radius) {
    const r = fixed(radius);
    this.path += `M${fixed(x - radius)} ${fixed(y)}a${r} ${r} 0 1 0 ${2 * r} 0`
      + `a${r} ${r} 0 1 0 ${-2 * r} 0`;
  }
  stroke() {
    this.add("path", {
      d: this.path, fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth,
      "stroke-opacity": this.globalAlpha, "stroke-dasharray": this.dash.join(" ") || "none",
      "stroke-linejoin": "round",
    });
  }
  fill() {
    this.add("path", { d: this.path, fill: this.fillStyle, "fill-opacity": this.globalAlpha });
  }
  fillRect(x, y, width, height) {
    this.add("rect",
      { x, y, width, height, fill: this.fillStyle, "fill-opacity": this.globalAlpha });
  }
  clearRect() {}
  fillText(text, x, y, width) {
    const size = Number(/([\d.]+)px/.exec(this.font)[1]);
    const down = { top: 0.8, middle: 0.35, bottom: -0.2 }[this.textBaseline] * size;
    const squeeze = width && this.measureText(text).width > width;
    this.add("text", {
      x: fixed(x), y: fixed(y + down), fill: this.fillStyle, "fill-opacity": this.globalAlpha,
      "text-anchor": { left: "start", center: "middle", right: "end" }[this.textAlign],
      "font-size": size, "font-weight": /^\d+ /.test(this.font) ? parseInt(this.font) : 400,
      "font-family": "system-ui, 'DejaVu Sans', sans-serif",
      ...(squeeze ? { textLength: width, lengthAdjust: "spacingAndGlyphs" } : {}),
    }, String(text));
  }
  save() { this.kept.push(this.nodes.length); }
  restore() { this.nodes.length = this.kept.pop(); }
  group(attributes) { this.nodes.push(this.add("g", attributes)); }
  translate(x, y) { this.group({ transform: `translate(${fixed(x)} ${fixed(y)})` }); }
  rotate(angle) { this.group({ transform: `rotate(${fixed(angle * 180 / Math.PI)})` }); }
  clip() {
    const id = `clip${++clips}`;
    this.add("clipPath", { id }, svg("path", { d: this.path }));
    this.group({ "clip-path": `url(#${id})` });
  }
}
let clips = 0;
const fixed = (value) => Math.round(value * 100) / 100;

// Draws a plot once more, its legend below, by the pen that `makePen(width, height)` gives.
function paint(plot, makePen, legend = plot.legend) {
  const entries = legend?.() ?? [], across = Math.max(1, Math.floor(plot.width / 250));
  const down = Math.ceil(entries.length / across), tall = plot.height + (down ? down * 17 + 10 : 0);
  const pen = makePen(plot.width, tall);
  pen.fillStyle = css("--card");
  pen.fillRect(0, 0, plot.width, tall);
  plot.target = pen;
  try {
    plot.draw(plot);
    entries.forEach(({ title, colour, dash }, i) => {
      const x = 20 + (i % across) * (plot.width - 40) / across;
      const y = plot.height + 8 + Math.floor(i / across) * 17;
      pen.strokeStyle = colour;
      pen.lineWidth = 2;
      pen.setLineDash(dash);
      plot.stroke([x, y], [x + 24, y]);
      pen.setLineDash([]);
      pen.fillStyle = css("--ink");
      plot.text(title, x + 30, y, "left", "middle", (plot.width - 40) / across - 36);
    });
  } finally {
    plot.target = null;
    plot.redraw();
  }
  return pen;
}
const fileName = (plot, kind) =>
  `${`${D.title}-${plot.name()}`.replace(/[^\w-]+/g, "-")}.${kind}`;
function saveSvg(plot) {
  const { root } = paint(plot, (width, height) => new SvgPen(width, height));
  const text = new XMLSerializer().serializeToString(root);
  save(fileName(plot, "svg"), new Blob([text], { type: "image/svg+xml" }));
}
// On paper, each plot is a drawing rather than the screen's pixels.
function asDrawings(on) {
  for (const drawing of document.querySelectorAll("svg.paper")) drawing.remove();
  for (const plot of on ? plots : []) {
    if (!(plot.box.clientWidth > 0)) continue;
    const { root } = paint(plot, (width, height) => new SvgPen(width, height), null);
    root.setAttribute("class", "paper");
    plot.box.prepend(root);
  }
}
function savePng(plot) {
  const canvas = document.createElement("canvas");
  paint(plot, (width, height) => {
    Object.assign(canvas, { width: width * PNG_SCALE, height: height * PNG_SCALE });
    const pen = canvas.getContext("2d");
    pen.scale(PNG_SCALE, PNG_SCALE);
    pen.lineJoin = "round";
    return pen;
  });
  canvas.toBlob((blob) => save(fileName(plot, "png"), blob), "image/png");
}
function save(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function plotTools(plot) {
  const button = (text, title, onclick) => h("button", { type: "button", title, onclick }, text);
  const tools = h("div", { class: "tools" },
    button("SVG", "Save this plot as SVG", () => saveSvg(plot)),
    button("PNG", "Save this plot as PNG", () => savePng(plot)));
  if (plot.behind) {
    plot.table = h("details", { class: "behind", ontoggle: () => fillBehind(plot) },
      h("summary", {}, "As a table"), h("div", { class: "scroll" }, h("table")));
    tools.append(plot.table);
  }
  return tools;
}
function fillBehind({ table, behind }) {
  if (!table.open) return;
  const [headings, rows] = behind();
  const cell = (value) => h("td", { class: finite(value) ? "num" : null },
    finite(value) ? show(value) : value ?? "–");
  refill(table.querySelector("table"),
    h("thead", {}, h("tr", {}, headings.map((heading) => h("th", { scope: "col" }, heading)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))));
}

function csv(rows) {
  const cell = (value) => {
    const text = missing(value) ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}
// The table as it is shown, with numbers in full; a mean has its interval's ends beside it.
function tableCsv() {
  const columns = columnsShown(), means = state.mode === "groups", kept = keptRuns();
  const ends = ({ kind, name }) =>
    (means && kind === "metric" ? [`${name}/low`, `${name}/high`] : []);
  const head = columns.flatMap((column) => [
    ["key", "metric"].includes(column.kind) ? column.name : column.heading, ...ends(column),
  ]);
  const rows = tableRows().map((row) => columns.flatMap((column, at) => {
    if (column.kind !== "metric") return [row.cells[at]];
    const [, , low, high] = (row.group && groupEstimate(row.group, column.name, kept)) || [];
    return [row.number(column.name), ...(ends(column).length ? [low, high] : [])];
  }));
  return csv([head, ...rows]);
}
