// Reach: how strongly one character's loss depends on every earlier step, and what truncation cuts off.

import { chart } from "./chart.js";
import { asking, brief, el, field, latest, number, put, select, setOptions, shown, visible, walk } from "./dom.js";
import { listNetworks } from "./networks.js";
import { passage } from "./passage.js";
import { set, state } from "./state.js";

/** Below this part of the strongest, a character has no colour. */
const FAINTEST = 1e-6;

export function createReach(root, _, lab) {
  const chosen = (at) => set({ at });
  const parts = {
    text: [passage("The text", chosen), passage("The text in the other network", chosen)],
    other: select([], (net2) => set({ net2 }), { id: "net2" }),
    window: number((window) => set({ window }), { id: "window", min: 1 }),
    through: select([["dh", "h"], ["dc", "c"]], (through) => set({ through }), { id: "through" }),
    layer: select([], (layer) => set({ layer: Number(layer) }), { id: "reach-layer" }),
    what: el("p", { id: "reach-what", role: "status", "aria-live": "polite" }),
    charts: el("div", { class: "columns" }),
    cut: el("table", { id: "cut" }),
    second: el("div", { class: "second" }),
  };
  listNetworks(parts.other, "net2", lab.runs, [["", "none"]]);
  parts.second.append(el("h3", {}, "The other network"), parts.text[1].root);
  root.append(
    el("p", { class: "note" }, "Choose a character with a click or the arrow keys. The stronger an earlier character’s background, " +
      "the more the loss of the prediction after the chosen one depends on the state there; the scale is logarithmic."),
    el("div", { class: "bar" }, field("through", parts.through), field("layer", parts.layer),
      field("truncate to windows of", parts.window), field("compare with", parts.other)),
    parts.text[0].root, parts.what, parts.second,
    parts.charts, el("div", { class: "scroll", tabindex: -1 }, parts.cut));
  const only = latest();
  return async () => {
    const seen = await only(walk({ network: state.net, text: state.text }));
    if (seen) await draw(parts, seen);
  };
}

const [only, reachOf] = [latest(), asking("reach")];

async function draw(parts, seen) {
  const last = seen.steps.length - 1;
  const at = state.at < 0 || state.at > last ? last : state.at;
  const window = state.window > 0 ? state.window : seen.unroll;
  const networks = [seen.network, state.net2].filter((name) => name !== "");
  const answers = await only(reachOf({ networks, text: state.text, at, window }));
  if (!answers) return;
  put(parts.window, window);
  parts.through.value = state.through;
  parts.other.value = state.net2;
  const count = seen.sizes.layers;
  setOptions(parts.layer, Array.from({ length: count }, (_, l) => [l, l]));
  const layer = state.layer < 0 || state.layer >= count ? count - 1 : state.layer;
  parts.layer.value = layer;
  parts.second.hidden = answers.length < 2;
  answers.forEach((answer, n) => colourText(parts.text[n], seen, answer, layer, at));
  const { character, next } = seen.steps[at];
  parts.what.replaceChildren(`After ${visible(character)} (step ${at}) comes ${visible(next)}: `, shown(answers[0].bits, "bits"),
    " bits. The training window that contains it begins at step ", shown(answers[0].first, "first"), ".");
  parts.charts.replaceChildren(...answers.map((answer, n) => curves(answer, at, n ? "The other network" : "This network")));
  showCut(parts.cut, answers);
}

function colourText(text, seen, answer, layer, at) {
  const reached = answer.layers[Math.min(layer, answer.layers.length - 1)];
  const norms = reached[state.through];
  const largest = Math.max(...norms);
  text.draw(seen.steps.map((step) => step.character), (n) => {
    const norm = norms[n] ?? 0;
    const share = norm > 0 ? Math.max(0, 1 - Math.log(norm / largest) / Math.log(FAINTEST)) : 0;
    const name = `${n === at ? "at " : ""}${n < answer.first ? "cut" : ""}`;
    return { name, share, title: n > at ? null : `step ${n}: ${brief(norm)}${n < answer.first ? ", cut off" : ""}` };
  }, at);
}

function curves(answer, at, title) {
  // Here dashes tell c from h, so the layers above the third have thin lines.
  const style = (l) => `line-${(l % 3) + 1}${l % 6 < 3 ? "" : " thin"}`;
  const lines = answer.layers.flatMap(({ dh, dc }, l) => [
    { name: `h, layer ${l}`, class: style(l), points: dh.map((norm, n) => [at - n, norm]) },
    { name: `c, layer ${l}`, class: `${style(l)} dashed`, points: dc.map((norm, n) => [at - n, norm]) },
  ]);
  return chart(lines, { title: `${title}: norm of the gradient`, x: "characters back", logY: true, at: at - answer.first + 0.5 });
}

function showCut(table, answers) {
  const head = ["", "layer", "through h", "through c"].map((name) => el("th", { scope: "col" }, name));
  const rows = answers.flatMap((answer, n) => answer.layers.map((layer, l) => el("tr", {},
    el("th", { scope: "row" }, n ? "the other network" : "this network"), el("td", {}, l),
    el("td", {}, shown(layer.dh_cut, `dh-cut-${n}-${l}`)), el("td", {}, shown(layer.dc_cut, `dc-cut-${n}-${l}`)))));
  table.replaceChildren(el("caption", {}, "Share of the sum of these norms that truncation cuts off"),
    el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
}
