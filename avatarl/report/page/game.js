// The game itself: kept checkpoints of a run side by side, a passage and one context's choices.
const CHOICE_COLUMNS = ["prob", "log p", "ref", "reward", "adv", "push"];

function fillGame() {
  const runs = D.inspected?.runs ?? {}, mine = sectionRuns().filter(({ id }) => runs[id]);
  for (const id of ["game", "to-game"]) $(id).hidden = !mine.length;
  const entries = mine.map((run) => [run.id, run.title]);
  state.game = fillOptions($("game-run"), entries, runs[state.game] ? state.game : mine[0]?.id);
  drawGame();
}
function drawGame() {
  const views = D.inspected?.runs[state.game] ?? [];
  refill($("game-view"), ...views.map((view) => h("section", {},
    h("h3", {}, `step ${view.step.toLocaleString("en")} `, h("small", { class: "soft" },
      `nats ${number(view.nats, 3)}, accuracy ${number(view.accuracy, 3)}`)),
    h("pre", { class: "passage" }, view.passage.map(passageCharacter)),
    h("h3", {}, h("small", { class: "soft" }, "after "), JSON.stringify(D.inspected.text)),
    choiceTable(view.choices))));
}
function passageCharacter([character, own, choice, confidence, right]) {
  const background = `rgba(${right ? "0,114,178" : "213,94,0"},${(0.6 * confidence).toFixed(2)})`;
  const told = `${choice} ${number(confidence, 3)}, text's ${number(own, 3)}`;
  return h("span", { style: { background }, class: right ? null : "off", title: told }, character);
}
function choiceTable(choices) {
  const shown = CHOICE_COLUMNS.map((_, i) => i).filter((i) => choices[0][i + 2] !== null);
  const head = h("tr", {}, h("th"), h("th"),
    shown.map((i) => h("th", { class: "num", scope: "col" }, CHOICE_COLUMNS[i])));
  const rows = choices.map(([character, matches, ...values]) =>
    h("tr", { class: matches ? "text" : null },
      h("td", {}, character),
      h("td", { class: "share" }, h("i", { style: { width: `${100 * values[0]}%` } })),
      shown.map((i) => h("td", { class: "num" }, number(values[i], i === 1 ? 3 : 4)))));
  return h("div", { class: "scroll" },
    h("table", {}, h("thead", {}, head), h("tbody", {}, rows)));
}
