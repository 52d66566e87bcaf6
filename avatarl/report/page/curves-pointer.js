// What pointer and keys do to the learning curves: nearness, zoom, and a run to open.

// The point that is drawn nearest to a pixel, within 18 of it.
function nearest(panel, x, y) {
  const { plot } = panel;
  let best = null, least = 18 ** 2;
  for (const line of panel.lines.filter(({ off }) => !off)) {
    for (const part of line.parts) {
      // Segments near the pointer only: the places are ordered.
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

// Draws a line on top of the others in every panel, with the events of its runs.
function emphasise(key, at = null) {
  for (const panel of panels) {
    const over = panel.plot.clearOver(), line = panel.lines.find((one) => toggleKey(one) === key);
    const here = at?.panel === panel ? at : null;
    if (line) panel.plot.clipped((pen) => drawOver(pen, panel, line, here), over);
  }
}
function drawOver(pen, { plot, metric }, line, at) {
  for (const { xs, ys } of line.parts) {
    for (const [colour, width] of [[css("--card"), 6], [line.colour, 2.8]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      plot.line(pen, xs, ys);
    }
  }
  for (const run of line.members ?? [line.run]) {
    drawEvents(plot, pen, run, curveOf(run, metric), line.colour);
  }
  if (!at) return;
  pen.fillStyle = line.colour;
  disc(pen, ...pixel(plot, at.part, at.i), 4.5);
  pen.fill();
}
function drawEvents(plot, pen, run, curve, colour) {
  const { y0, y1 } = plot.inner;
  for (const event of run.events) {
    const x = event.places[state.x];
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
// Tells about a point of a line, beside (x, y).
function point(panel, near, [x, y]) {
  const { line, part, i } = near, { band } = line, { metric, plot } = panel;
  emphasise(toggleKey(line), { panel, part, i });
  const interval = band?.low && !part.unfinished
    ? ` (${number(band.low[i], 3)} to ${number(band.high[i], 3)})`
    : "";
  const of = part.unfinished && line.members
    ? `seed ${show(part.run.seed)} ${part.run.told}`
    : band ? `mean of ${band.n}` : line.run.told;
  plot.tell(x, y,
    h("strong", {}, line.title), h("br"),
    `${heading(metric)} ${number(part.ys[i], info(metric).digits)}${interval}`,
    h("br"), h("span", { class: "soft" }, `${brief(part.xs[i])} ${axisTitle()} · ${of}`));
}
function leaveCurves(panel) {
  emphasise(null);
  panel.plot.tell();
  panel.told = null;
}

function listenToPointer(panel) {
  const { plot } = panel, far = ([x, y], [a, b]) => Math.hypot(x - a, y - b) > 5;
  let from = null;
  plot.on("pointerdown", (event) => {
    if (event.button > 0) return;
    from = plot.place(event);
    plot.over.setPointerCapture(event.pointerId);
    plot.over.focus({ preventScroll: true });
  });
  plot.on("pointermove", (event) => {
    const at = plot.place(event), [x, y] = at;
    if (!from || !far(at, from)) {
      if (event.pointerType === "touch") return;
      const near = nearest(panel, x, y);
      if (near) point(panel, near, at);
      else leaveCurves(panel);
      return;
    }
    plot.tell();
    const pen = plot.clearOver();
    pen.fillStyle = css("--accent");
    pen.globalAlpha = 0.15;
    pen.fillRect(from[0], from[1], x - from[0], y - from[1]);
    pen.globalAlpha = 1;
  });
  plot.on("pointerup", (event) => {
    if (!from) return;
    const to = plot.place(event), [xs, ys] = [0, 1].map((at) => [from[at], to[at]]);
    if (far(to, from)) {
      zoomTo([Math.min(...xs), Math.max(...xs)].map(plot.unx),
        [Math.max(...ys), Math.min(...ys)].map(plot.uny), panel.metric);
    } else tap(panel, nearest(panel, ...to), to, event.pointerType);
    from = null;
  });
  plot.on("pointercancel", () => {
    from = null;
    leaveCurves(panel);
  });
  plot.on("pointerleave", (event) => {
    if (event.pointerType !== "touch") leaveCurves(panel);
  });
  plot.on("dblclick", () => zoomTo());
  plot.leave = () => leaveCurves(panel);
}
// A click opens the run; a finger, which can't hover, is told of it first.
function tap(panel, near, at, pointer) {
  if (!near) return leaveCurves(panel);
  if (pointer !== "touch" || panel.told === near.part.run.id) return choose(near.part.run.id);
  panel.told = near.part.run.id;
  return point(panel, near, at);
}
function zoomTo(xs = null, ys = null, metric = null) {
  state.zoom = xs && { xs, ys, metric };
  for (const { plot } of panels) plot.redraw();
}

function curveKeys(panel) {
  const told = "Arrows up and down choose a line, left and right a point on it; Enter opens its "
    + "run; plus and minus zoom, Escape shows everything again";
  const act = (key, fast) => {
    const lines = shownLines(panel), { plot } = panel, cursor = panel.cursor ?? {};
    const place = lines.findIndex((line) => toggleKey(line) === cursor.key);
    const line = lines[Math.max(0, place)], part = line?.parts[0];
    const x = cursor.x ?? part?.xs.at(-1);
    const go = (to, at) => {
      if (!lines.length) return;
      const next = lines[Math.max(0, Math.min(lines.length - 1, to))], [way] = next.parts;
      const i = Math.max(0, Math.min(way.xs.length - 1, at ?? firstFrom(way.xs, x)));
      panel.cursor = { key: toggleKey(next), x: way.xs[i] };
      point(panel, { line: next, part: way, i }, pixel(plot, way, i));
    };
    const along = (by) =>
      go(Math.max(0, place), firstFrom(part?.xs ?? [], x) + by * (fast ? 10 : 1));
    const zoom = (by) => {
      const [low, high] = plot.xs, middle = cursor.x ?? (low + high) / 2;
      zoomTo([low, high].map((end) => Math.max(0, middle + (end - middle) * by)));
    };
    const keys = {
      ArrowDown: () => go(place + 1), ArrowUp: () => go(place < 0 ? 0 : place - 1),
      ArrowLeft: () => along(place < 0 ? 0 : -1), ArrowRight: () => along(place < 0 ? 0 : 1),
      Enter: () => { if (place >= 0) choose(part.run.id); },
      "+": () => zoom(1 / 1.5), "=": () => zoom(1 / 1.5), "-": () => zoom(1.5),
      Escape: () => {
        panel.cursor = null;
        leaveCurves(panel);
        zoomTo();
      },
    };
    return Object.hasOwn(keys, key) ? keys[key]() : false;
  };
  return { told, act };
}
