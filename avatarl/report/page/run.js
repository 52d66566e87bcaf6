// One run beside another: numbers, what differs, samples, where it came from.
const byId = (id) => D.runs.find((run) => run.id === id);

function choose(id, scroll = true) {
  state.a = id;
  if (state.b === id) state.b = null;
  drawRun();
  drawTable();
  if (scroll) $("run").scrollIntoView({ behavior: "smooth", block: "start" });
}
function fillRunChoices() {
  const runs = sectionRuns();
  const entries = runs.map((run) =>
    [run.id, run.state === "done" ? run.title : `${run.title} (${run.told})`]);
  const here = (id) => runs.some((run) => run.id === id);
  if (!here(state.b)) state.b = null;
  if (!here(state.a)) {
    // To begin with: the best configuration's first seed, beside the control where there is one.
    const best = sectionGroups().find((group) => group.best);
    const done = runs.filter((run) => run.state === "done");
    const first = best ? membersOf(best)[0] : done[0] ?? runs[0];
    const controls = done.filter((run) => run.control);
    const control = controls.find((run) => run.seed === first?.seed) ?? controls[0];
    state.a = first?.id ?? null;
    state.b = control?.id === state.a ? null : control?.id ?? null;
  }
  fillOptions($("run-a"), entries, state.a);
  fillOptions($("run-b"), [["", "nothing"], ...entries], state.b ?? "");
}

function drawRun() {
  const runs = [state.a, state.b].map(byId).filter(Boolean), view = $("run-view");
  $("run-a").value = state.a ?? "";
  $("run-b").value = state.b ?? "";
  if (!runs.length) {
    view.replaceChildren(h("p", { class: "empty" }, "There is no run to show."));
    return;
  }
  const parts = [failures, numbers, configurations, samples, reliability, health, provenance];
  for (const plot of plots) if (view.contains(plot.box)) plots.delete(plot);
  refill(view, ...parts.flatMap((part) => part(...runs)).filter(Boolean));
  view.querySelectorAll(".plot").forEach((box) => drawMini(box, runs));
}

const table = (id, rows, head = null) =>
  h("div", { class: "scroll" },
    h("table", { id }, head ? h("thead", {}, head) : null, h("tbody", {}, rows)));

function failures(...runs) {
  const failed = runs.filter((run) => run.reason).map((run) => h("div", {},
    h("p", { class: "note bad" }, `${run.title}: ${run.reason}`),
    run.trace ? h("pre", {}, run.trace) : null));
  const notes = runs.flatMap((run) =>
    run.notes.map((note) => h("p", { class: "note" }, `${run.title}: ${note}`)));
  return [...failed, ...notes];
}

function numbers(...runs) {
  const names = [...new Set([...D.metrics, ...runs.flatMap((run) => Object.keys(run.result))])];
  const metrics = names.filter((metric) => runs.some((run) => finite(run.result[metric])));
  const leading = (metric) =>
    D.metrics.includes(metric) || /^(val|best|reward)\/|^[^/]+$/.test(metric);
  const rest = metrics.filter((metric) => !leading(metric));
  const head = h("tr", {},
    h("th", {}, ""),
    runs.map((run) => h("th", { class: "num" },
      breakable(run.title), " ", h("span", { class: `state ${run.state}` }, run.told))),
    runs.length > 1 ? h("th", { class: "num" }, "difference") : null);
  const row = (metric) => numberRow(metric, ...runs);
  return [
    table("headline", metrics.filter(leading).map(row), head),
    rest.length
      ? h("details", {},
        h("summary", { class: "soft" }, `${rest.length} more, of training and health`),
        h("table", {}, h("tbody", {}, rest.map(row))))
      : null,
  ];
}
function numberRow(metric, ...runs) {
  const { title, digits } = info(metric), [a, b] = runs.map((run) => run.result[metric]);
  const cell = (run) => h("td", { class: "num" },
    number(run.result[metric], digits),
    run.state !== "done" && finite(run.result[metric]) ? h("small", {}, " so far") : null);
  const difference = finite(a) && finite(b) ? number(a - b, digits) : "–";
  return h("tr", {},
    h("td", { title: metric }, title), runs.map(cell),
    runs.length > 1 ? h("td", { class: "num" }, difference) : null);
}

function configurations(a, b) {
  const [left, right] = [a, b ?? { config: {} }].map((run) => ({ ...D.base, ...run.config }));
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  const differs = (key) => JSON.stringify(left[key]) !== JSON.stringify(right[key]);
  const telling = b ? differs : (key) => key in a.config || key in section().words;
  const few = state.onlyDifferent && sectionRuns().length > 1;
  const shown = keys.filter((key) => !few || telling(key));
  const rows = shown.map((key) =>
    h("tr", { class: b && differs(key) ? "differs" : null, "data-config": key },
      h("td", {}, breakable(key)), h("td", {}, show(left[key])),
      b ? h("td", {}, show(right[key])) : null));
  const counted = b
    ? `${keys.filter(differs).length} of ${keys.length} keys differ`
    : few ? "the keys that tell these runs apart" : `${keys.length} keys`;
  return [
    h("h3", {}, "Configuration ", h("small", { class: "soft" }, counted)),
    rows.length ? table("diff", rows) : h("p", { class: "empty", id: "diff" }, "Nothing differs."),
  ];
}

function samples(a, b) {
  const all = [...a.samples, ...(b?.samples ?? [])].map((sample) => sample.temperature);
  const temperatures = [...new Set(all)].sort((x, y) => x - y);
  if (!temperatures.length) return [];
  const texts = (run, temperature) => run.samples
    .filter((sample) => sample.temperature === temperature)
    .map((sample) => h("pre", { class: "sample" }, sample.text));
  // Where there is no room for two columns, each says whose it is.
  const column = (run, temperature) => h("div", {},
    h("span", { class: "soft whose" }, run.title), texts(run, temperature));
  return [h("h3", {}, "Samples"), ...temperatures.map((temperature) => h("div", {},
    h("span", { class: "soft" }, `temperature ${show(temperature)}`),
    b
      ? h("div", { class: "pair samples" },
        column(a, temperature), column(b, temperature))
      : texts(a, temperature)))];
}

function provenance(...runs) {
  const records = runs.map((run) => ({ directory: run.dir, ...D.prov, ...run.prov }));
  const keys = [...new Set(records.flatMap(Object.keys))];
  const differs = (key) => new Set(records.map((record) => show(record[key]))).size > 1;
  const rows = keys.map((key) => h("tr", { class: differs(key) ? "differs" : null },
    h("td", {}, key), records.map((record) => h("td", {}, show(record[key])))));
  return [
    h("h3", {}, "To run it again"), ...runs.map(command),
    h("h3", {}, "Where it came from"), table("provenance", rows),
  ];
}
function command(run) {
  const copy = ({ target }) => navigator.clipboard?.writeText(run.command).then(
    () => {
      target.textContent = "Copied";
      setTimeout(() => { target.textContent = "Copy"; }, 2000);
    },
    () => {},
  );
  return h("div", { class: "command" },
    h("pre", { class: "reproduce" }, run.command),
    h("button", { type: "button", onclick: copy }, "Copy"));
}
