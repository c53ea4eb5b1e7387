// Cells: which of them are high in a span of the text, and where else the same pattern comes.

import { asking, brief, button, el, field, latest, number, put, setOptions, select, shown, visible, walk } from "./dom.js";
import { passage } from "./passage.js";
import { set, state } from "./state.js";

const LISTED = 20;

export function createCells(root) {
  const parts = {
    text: passage("The text; Shift selects", (at, anchor) => set({ from: Math.min(at, anchor), to: Math.max(at, anchor) + 1 })),
    layer: select([], (layer) => set({ cellLayer: Number(layer), cellUnit: parts.cell.unit }), { id: "cell-layer" }),
    unit: number((cellUnit) => set({ cellUnit, cellLayer: parts.cell.layer }), { id: "cell-unit", min: 0 }),
    what: el("p", { id: "span", role: "status", "aria-live": "polite" }),
    cells: el("table", { id: "contrast" }),
    cell: { layer: 0, unit: 0 },
    places: el("ol", { id: "similar" }),
  };
  root.append(
    el("p", { class: "note" }, "Drag over a span of the text, or hold Shift and press the arrow keys: the cells that are higher there than elsewhere " +
      "are listed, and the places that look similar to the network are marked. The text is coloured by tanh c of the chosen cell."),
    el("div", { class: "bar" }, field("colour by layer", parts.layer), field("cell", parts.unit),
      el("span", { class: "legend" }, "tanh c ", el("span", { class: "swatch warm" }, "−1"), el("span", { class: "swatch cool" }, "+1"))),
    parts.text.root, parts.what,
    el("div", { class: "columns uneven" },
      el("section", {}, el("h3", {}, "High in the span, low elsewhere"), el("div", { class: "scroll", tabindex: -1 }, parts.cells)),
      el("section", {}, el("h3", {}, "The same pattern elsewhere"), parts.places)));
  const only = latest();
  return async () => {
    const seen = await only(walk({ network: state.net, text: state.text }));
    if (seen) await draw(parts, seen);
  };
}

const only = latest();
const [contrastOf, cellOf] = ["contrast", "cell"].map(asking);

async function draw(parts, seen) {
  const steps = seen.steps.length;
  const [from, to] = [Math.min(state.from, steps), Math.min(state.to, steps)];
  const isSpan = from < to && to - from < steps;
  const on = { network: seen.network, text: state.text };
  const contrast = isSpan ? await only(contrastOf({ ...on, from, to, count: LISTED })) : { cells: [], similar: [] };
  if (!contrast) return;
  const best = contrast.cells[0] ?? { layer: 0, unit: 0 };
  const isChosen = state.cellLayer >= 0 && state.cellLayer < seen.sizes.layers && state.cellUnit < seen.sizes.hidden;
  const cell = isChosen ? { layer: state.cellLayer, unit: state.cellUnit } : best;
  const values = await only(cellOf({ ...on, layer: cell.layer, unit: cell.unit }));
  if (!values) return;
  parts.cell = cell;
  setOptions(parts.layer, Array.from({ length: seen.sizes.layers }, (_, l) => [l, l]));
  parts.layer.value = cell.layer;
  parts.unit.max = seen.sizes.hidden - 1;
  put(parts.unit, cell.unit);
  const isSimilar = (n) => contrast.similar.some((place) => n >= place.from && n < place.to);
  parts.text.draw(seen.steps.map((step) => step.character), (n) => ({
    name: `${values[n] < 0 ? "warm" : "cool"}${n >= from && n < to ? " in" : ""}${isSimilar(n) ? " like" : ""}`,
    share: Math.abs(values[n]), title: `step ${n}: ${brief(values[n])}`,
  }), Math.max(from, to - 1), from);
  parts.what.textContent = isSpan
    ? `Steps ${from} to ${to - 1}: “${snippet(seen, from, to)}”. The text is coloured by layer ${cell.layer}, cell ${cell.unit}.`
    : `Nothing is selected. The text is coloured by layer ${cell.layer}, cell ${cell.unit}.`;
  showCells(parts.cells, contrast.cells, cell);
  parts.places.replaceChildren(...contrast.similar.map((place) => el("li", {},
    button(`“${snippet(seen, place.from, place.to)}”`, () => set({ from: place.from, to: place.to }), { class: "plain" }),
    el("span", { class: "note" }, ` steps ${place.from} to ${place.to - 1}, correlation `), shown(place.correlation, "correlation"))));
}

const snippet = ({ steps }, from, to) => steps.slice(from, Math.min(to, from + 60)).map((step) => visible(step.character)).join("");

function showCells(table, cells, chosen) {
  const head = ["layer", "cell", "inside", "outside", "difference"].map((name) => el("th", { scope: "col" }, name));
  const row = ({ layer, unit, inside, outside, difference }) => {
    const isChosen = layer === chosen.layer && unit === chosen.unit;
    const colour = button(unit, () => set({ cellLayer: layer, cellUnit: unit }),
      { "aria-label": `colour the text by layer ${layer}, cell ${unit}`, "aria-pressed": String(isChosen) });
    return el("tr", {}, el("td", {}, layer), el("td", {}, colour), el("td", {}, shown(inside, "inside")),
      el("td", {}, shown(outside, "outside")), el("td", {}, shown(difference, "difference")));
  };
  const hadFocus = table.contains(document.activeElement);
  table.replaceChildren(el("thead", {}, el("tr", {}, head)), el("tbody", {}, cells.map(row)));
  if (hadFocus) (table.querySelector("[aria-pressed=true]") ?? table.querySelector("button"))?.focus();
}
