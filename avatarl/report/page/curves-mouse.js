// What the mouse does to the learning curves: hover by nearness, zoom by dragging, click to open.

// The point that is drawn nearest to a pixel, within 18 of it.
function nearest(x, y) {
  const plot = curvePlot;
  let best = null, least = 18 ** 2;
  for (const line of drawn.filter(({ off }) => !off)) {
    for (const part of line.parts) {
      // Segments near the mouse only: the places are ordered.
      const end = plot.unx(x + 20);
      for (let i = Math.max(0, firstFrom(part.xs, plot.unx(x - 20)) - 1); i < part.xs.length; i++) {
        const p = pixel(plot, part, i), q = pixel(plot, part, Math.min(i + 1, part.xs.length - 1));
        const away = distance([x, y], p, q);
        if (away < least) {
          least = away;
          best = { line, part, i: Math.abs(q[0] - x) < Math.abs(p[0] - x) ? i + 1 : i };
        }
        if (part.xs[i] > end) break;
      }
    }
  }
  return best;
}
const pixel = (plot, part, i) => [plot.x(part.xs[i]), plot.y(part.ys[i])];
// The square of a point's distance from the segment p–q.
function distance([x, y], p, q) {
  const [dx, dy] = [q[0] - p[0], q[1] - p[1]];
  const along = ((x - p[0]) * dx + (y - p[1]) * dy) / (dx ** 2 + dy ** 2 || 1);
  const t = Math.max(0, Math.min(1, along));
  return (p[0] + t * dx - x) ** 2 + (p[1] + t * dy - y) ** 2;
}

// Draws a line on top of the others, with the events of its runs.
function emphasise(line, part = null, i = null) {
  const plot = curvePlot, over = plot.clearOver();
  if (!line) return;
  plot.clipped((pen) => {
    for (const { xs, ys } of line.parts) {
      for (const [colour, width] of [[css("--card"), 6], [line.colour, 2.8]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        plot.line(pen, xs, ys);
      }
    }
    for (const run of line.members ?? [line.run]) drawEvents(plot, pen, run, line.colour);
    if (!part) return;
    pen.fillStyle = line.colour;
    disc(pen, ...pixel(plot, part, i), 4.5);
    pen.fill();
  }, over);
}
function drawEvents(plot, pen, run, colour) {
  const curve = run.curves[state.metric], { y0, y1 } = plot.inner;
  for (const event of run.events) {
    const x = event.x;
    if (!finite(x)) continue;
    if (event.event === "promotion") {
      pen.strokeStyle = colour;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(plot.x(x), y0);
      pen.lineTo(plot.x(x), y1);
      pen.stroke();
    } else if (curve) {
      pen.fillStyle = css("--warn");
      plot.alarm(pen, event, curve);
    }
  }
}
function hover(x, y) {
  const plot = curvePlot, near = nearest(x, y);
  if (!near) {
    plot.leave();
    return;
  }
  const { line, part, i } = near, { band } = line;
  emphasise(line, part, i);
  const interval = band?.low && !part.unfinished
    ? ` (${number(band.low[i], 3)} to ${number(band.high[i], 3)})`
    : "";
  const of = part.unfinished && line.members
    ? `seed ${show(part.run.seed)} ${part.run.told}`
    : band ? `mean of ${band.n}` : line.run.told;
  plot.tell(x, y,
    h("strong", {}, line.title), h("br"),
    `${heading(state.metric)} ${number(part.ys[i], info(state.metric).digits)}${interval}`,
    h("br"), h("span", { class: "soft" }, `${brief(part.xs[i])} ${D.axis} · ${of}`));
}

function setUpCurves() {
  const plot = (curvePlot = new Plot($("curve-plot"), drawCurves));
  const far = ([x, y], [a, b]) => Math.hypot(x - a, y - b) > 5;
  let from = null;
  plot.on("mousedown", (event) => {
    from = plot.place(event);
    event.preventDefault();
  });
  plot.on("mousemove", (event) => {
    const [x, y] = plot.place(event);
    if (!from || !far([x, y], from)) {
      hover(x, y);
      return;
    }
    plot.tell();
    const pen = plot.clearOver();
    pen.fillStyle = css("--accent");
    pen.globalAlpha = 0.15;
    pen.fillRect(from[0], from[1], x - from[0], y - from[1]);
    pen.globalAlpha = 1;
  });
  addEventListener("mouseup", (event) => {
    if (!from) return;
    const to = plot.place(event), [xs, ys] = [0, 1].map((at) => [from[at], to[at]]);
    if (far(to, from)) {
      zoomTo([Math.min(...xs), Math.max(...xs)].map(plot.unx),
        [Math.max(...ys), Math.min(...ys)].map(plot.uny));
    } else {
      const near = nearest(...to);
      if (near) choose(near.part.run.id);
    }
    from = null;
  });
  plot.on("mouseleave", () => plot.leave());
  plot.on("dblclick", () => zoomTo());
}
function zoomTo(xs = null, ys = null) {
  state.zoom = xs && { xs, ys };
  curvePlot.redraw();
}
