// Step: forward and then backward through time, equation by equation.

import { asking, brief, button, colour, el, field, latest, number, onWalk, put, remembered, say, select, shown, visible, walk } from "./dom.js";
import { drawNetwork, drawStrips, edgesOf, windowAround } from "./network.js";
import { set, state } from "./state.js";

const [equationsAt, stripsOf, mapOf] = ["equations", "strips", "map"].map((name) => remembered(asking(name), 60));
const FORWARD = /^F([1-8]|13)$/;
const OUTPUT = { forward: /^F(9|1[01])$/, backward: /^B[1-4]$/ };
const BACKWARD = /^B([5-9]|1\d|2[0-2])$/;
const UNITS = 64;

export function createStep(root, derivation) {
  const parts = {
    where: el("p", { id: "where", role: "status", "aria-live": "polite" }),
    picture: el("div", { class: "wide", id: "unrolled" }),
    strips: el("div", { class: "wide" }),
    now: el("div", { id: "now" }),
    list: el("ol", { id: "equations", "aria-label": "Equations at this spot" }),
    step: number((step) => go({ step }), { id: "step-number", min: 0 }),
    unit: number((unit) => set({ unit }), { id: "unit-number", min: 0 }),
    place: select([], (place) => go({ place: Number(place) }), { id: "place" }),
    quantity: select([], (quantity) => set({ quantity }), { id: "quantity" }),
    map: el("canvas", { id: "map", role: "img", tabindex: 0 }),
    mapNote: el("p", { class: "note", id: "map-note" }),
    readout: el("table", { id: "unit-values" }),
    loss: el("p", { class: "note", id: "loss" }),
  };
  // The text that is shown; the one in the state may be on its way still.
  const context = { walk: null, text: "", list: [], parts };
  const actions = {
    first: () => go({ phase: "forward", step: 0, place: 0, eq: 0 }),
    back: () => previous(context),
    ahead: () => next(context),
    last: () => go({ phase: "backward", step: 0, place: 0, eq: -1 }),
    turn: () => turn(context),
    earlier: () => go({ step: Math.max(0, spot(context).step - 1) }),
    later: () => go({ step: Math.min(context.walk.steps.length - 1, spot(context).step + 1) }),
    below: () => go({ place: Math.max(0, spot(context).place - 1) }),
    above: () => go({ place: Math.min(context.walk.sizes.layers, spot(context).place + 1) }),
  };
  root.append(
    el("p", { class: "note" }, "Walk forward, then back through time. → and ← go to the next and the previous equation, " +
      "with Shift to the next and the previous step, ↑ and ↓ from layer to layer, T turns round."),
    el("div", { class: "bar", role: "group", "aria-label": "Walk" },
      button("|←", actions.first, { "aria-label": "First equation" }),
      button("← back", actions.back, { id: "back", "aria-label": "Previous equation" }),
      button("next →", actions.ahead, { id: "ahead", "aria-label": "Next equation" }),
      button("→|", actions.last, { "aria-label": "Last equation" }),
      button("turn round", actions.turn, { id: "turn" }),
      field("step", parts.step), field("layer", parts.place), field("unit", parts.unit)),
    parts.where,
    el("div", { class: "scroll", tabindex: -1 }, parts.picture, parts.strips),
    el("div", { class: "columns" },
      el("section", { "aria-label": "The equation" }, parts.now, parts.list),
      derivation.panel,
      el("section", { "aria-label": "Numbers of this unit" }, el("h3", {}, "This unit at this step"), parts.readout, parts.loss)),
    el("section", { "aria-label": "All units of the layer" },
      el("div", { class: "bar" }, el("h3", {}, "All units of the layer"), field("quantity", parts.quantity),
        button("←", () => page(-1, context), { "aria-label": "Units before these" }),
        button("→", () => page(1, context), { "aria-label": "Units after these" })),
      parts.mapNote, el("div", { class: "scroll", tabindex: -1 }, parts.map)));
  root.addEventListener("keydown", (event) => onKey(event, actions));
  parts.map.addEventListener("click", (event) => pick(event, context));
  let drawn = null;
  const redraw = () => (drawn = draw(context, derivation));
  new ResizeObserver(() => context.walk && !root.hidden && redraw().catch(say)).observe(root);
  const only = latest();
  return async () => {
    const { net: network, text } = state;
    const found = await only(walk({ network, text }));
    if (!found) return;
    Object.assign(context, { walk: found, text });
    await redraw();
    await drawn; // a change of size may have overtaken it
  };
}

/** The keys of the drawing; where text is typed or the derivation is read they mean what they always do. */
function onKey(event, actions) {
  if (event.target.closest("input, select, textarea, #derivation") || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = (event.shiftKey ? "Shift+" : "") + event.key;
  const action = {
    ArrowRight: actions.ahead, ArrowLeft: actions.back, "Shift+ArrowRight": actions.later,
    "Shift+ArrowLeft": actions.earlier, ArrowUp: actions.above, ArrowDown: actions.below,
    Home: actions.first, End: actions.last, t: actions.turn, T: actions.turn, "Shift+T": actions.turn,
  }[name];
  if (!action) return;
  event.preventDefault();
  action();
}

const go = (changes) => set({ eq: 0, ...changes });

/** The spot as it can be with this text and network. */
function spot({ walk }) {
  const { layers, hidden } = walk.sizes;
  const step = Math.max(0, Math.min(state.step, walk.steps.length - 1));
  const place = Math.max(0, Math.min(state.place, layers));
  const unit = Math.max(0, Math.min(state.unit, hidden - 1));
  return { step, place, unit, layer: Math.min(place, layers - 1), isOutput: place === layers, layers };
}

function next(context) {
  const { step, place, layers } = spot(context);
  const last = context.walk.steps.length - 1;
  if (context.at + 1 < context.list.length) return set({ eq: context.at + 1 });
  if (state.phase === "forward") {
    if (place < layers) return go({ place: place + 1 });
    return step < last ? go({ step: step + 1, place: 0 }) : go({ phase: "backward", step, place });
  }
  if (place > 0) return go({ place: place - 1 });
  if (step > 0) go({ step: step - 1, place: layers });
}

function previous(context) {
  const { step, place, layers } = spot(context);
  const last = context.walk.steps.length - 1;
  if (context.at > 0) return set({ eq: context.at - 1 });
  if (state.phase === "backward") {
    if (place < layers) return set({ place: place + 1, eq: -1 });
    return step < last ? set({ step: step + 1, place: 0, eq: -1 }) : set({ phase: "forward", step, place, eq: -1 });
  }
  if (place > 0) return set({ place: place - 1, eq: -1 });
  if (step > 0) set({ step: step - 1, place: layers, eq: -1 });
}

function turn() {
  go({ phase: state.phase === "forward" ? "backward" : "forward" });
}

const only = latest();

async function draw(context, derivation) {
  const { walk: seen, text, parts } = context;
  const { step, unit, layer, isOutput, layers, place } = spot(context);
  const range = windowAround(step, seen.steps.length, parts.picture.clientWidth || 900);
  const on = onWalk(seen, text);
  const answers = await only(Promise.all([
    equationsAt({ ...on, step, layer, unit }),
    stripsOf({ ...on, unit, from: range[0], to: range[1] }),
    mapOf({ ...on, layer, quantity: state.quantity, units: unitsShown(seen), steps: stepsShown(seen, step) }),
  ]));
  if (!answers) return;
  const [equations, strips, map] = answers;
  const wanted = isOutput ? OUTPUT[state.phase] : state.phase === "forward" ? FORWARD : BACKWARD;
  context.list = equations.filter(({ label }) => wanted.test(label));
  context.at = state.eq < 0 ? context.list.length - 1 : Math.min(state.eq, context.list.length - 1);
  const equation = context.list[context.at];
  const level = place + 1;
  const name = state.phase === "forward" ? "h" : "dh";
  const values = strips.layers.map((rows) => rows[strips.quantities.indexOf(name)]);
  const hadFocus = parts.picture.contains(document.activeElement);
  parts.picture.replaceChildren(drawNetwork(seen, range, {
    step, level, values, name: `${name} of unit ${unit}`, from: range[0],
    largest: Math.max(...values.flat().map(Math.abs)),
    edges: edgesOf(equation.label, equation.symbols, step, layer, layers, level),
    choose: (step, level) => go({ step, place: level - 1 }),
  }));
  if (hadFocus) parts.picture.firstChild.focus();
  parts.strips.replaceChildren(drawStrips(strips, layer, range, step, (step) => go({ step })));
  showEquations(context, derivation);
  showWhere(context);
  showUnit(parts, strips, layer, step - range[0]);
  showMap(context, map, step);
}

function showWhere({ walk: seen, parts, list, at }) {
  const { step, unit, isOutput, layer, layers } = spot({ walk: seen });
  const { character, next, bits } = seen.steps[step];
  parts.where.replaceChildren(
    el("b", {}, state.phase), `, step ${step} of ${seen.steps.length - 1}: reads `, el("code", {}, visible(character)),
    ", predicts ", el("code", {}, visible(next)), ` (${brief(bits)} bits) · ${isOutput ? "output" : `layer ${layer}`}, ` +
    `unit ${unit} · `, el("b", {}, list[at].label), ` (${at + 1} of ${list.length} here)`);
  put(parts.step, step);
  put(parts.unit, unit);
  parts.step.max = seen.steps.length - 1;
  parts.unit.max = seen.sizes.hidden - 1;
  const places = Array.from({ length: layers }, (_, l) => [l, String(l)]).concat([[layers, "output"]]);
  if (parts.place.options.length !== places.length) {
    parts.place.replaceChildren(...places.map(([value, label]) => el("option", { value }, label)));
  }
  parts.place.value = Math.min(state.place, layers);
  parts.loss.replaceChildren("Mean loss of the text: ", shown(seen.loss, "loss"), " nats. The gradient is that of this loss.",
    seen.trained ? ` The network was trained for ${seen.trained} steps.` : "");
}

function showEquations({ parts, list, at }, derivation) {
  const link = (equation) => button(equation.label, (event) => derivation.open(equation.label, event.currentTarget),
    { class: "label", "aria-label": `${equation.label}: show its derivation` });
  const current = list[at];
  const [nowHadFocus, listHadFocus] = [parts.now, parts.list].map((part) => part.contains(document.activeElement));
  parts.now.className = state.phase;
  parts.now.replaceChildren(
    el("p", { class: "symbols" }, link(current), current.symbols),
    el("p", { class: "numbers" }, `= ${current.numbers}`),
    el("p", { class: "value" }, "= ", shown(current.value, current.label)));
  if (nowHadFocus) parts.now.querySelector(".label").focus();
  parts.list.replaceChildren(...list.map((equation, n) => el("li", { class: n === at ? "at" : "" },
    link(equation),
    button(equation.symbols, () => set({ eq: n }), { class: "plain", "aria-current": n === at ? "step" : null }),
    shown(equation.value, equation.label))));
  if (listHadFocus) parts.list.querySelector("[aria-current]").focus();
}

function showUnit(parts, strips, layer, column) {
  const rows = strips.quantities.map((name, n) => {
    const value = strips.layers[layer][n][column];
    return el("tr", {}, el("th", { scope: "row" }, name.replace("_", " ")), el("td", {}, shown(value, name)));
  });
  parts.readout.replaceChildren(el("tbody", {}, rows));
  if (parts.quantity.options.length === 0) {
    parts.quantity.append(...strips.quantities.map((name) => el("option", { value: name }, name.replace("_", " "))));
  }
  parts.quantity.value = state.quantity;
}

const CELL = 9;

function unitsShown(seen) {
  const last = Math.max(0, Math.ceil(seen.sizes.hidden / UNITS) - 1);
  const from = Math.min(Math.max(0, state.units), last) * UNITS;
  return [from, Math.min(from + UNITS, seen.sizes.hidden)];
}

/** At most 200 steps, with this one in the middle. */
function stepsShown(seen, step) {
  const from = Math.max(0, Math.min(step - 100, seen.steps.length - 200));
  return [from, Math.min(from + 200, seen.steps.length)];
}

function page(by, { walk: seen }) {
  const pages = Math.ceil(seen.sizes.hidden / UNITS);
  set({ units: Math.max(0, Math.min(state.units + by, pages - 1)) });
}

/** The units downwards, the steps to the right. */
function showMap(context, rows, step) {
  const { walk: seen, parts } = context;
  const [first, last] = unitsShown(seen);
  const [from, to] = stepsShown(seen, step);
  const { map } = parts;
  const scale = devicePixelRatio;
  [map.width, map.height] = [(to - from) * CELL * scale, rows.length * CELL * scale];
  map.style.width = `${(to - from) * CELL}px`;
  map.setAttribute("aria-label", `${state.quantity} of the units ${first} to ${last - 1} at the steps ${from} to ${to - 1}`);
  const pen = map.getContext("2d");
  pen.scale(scale, scale);
  const largest = Math.max(1e-300, ...rows.map((row) => Math.max(...row.map(Math.abs))));
  const [cool, warm, ink] = ["--cool", "--warm", "--ink"].map(colour);
  rows.forEach((row, unit) => row.forEach((value, column) => {
    pen.globalAlpha = Math.abs(value) / largest;
    pen.fillStyle = value < 0 ? warm : cool;
    pen.fillRect(column * CELL, unit * CELL, CELL - 1, CELL - 1);
  }));
  pen.globalAlpha = 1;
  pen.strokeStyle = ink;
  pen.strokeRect((step - from) * CELL - 0.5, 0.5, CELL, rows.length * CELL - 1);
  const { unit } = spot({ walk: seen });
  if (unit >= first && unit < last) pen.strokeRect(0.5, (unit - first) * CELL - 0.5, (to - from) * CELL - 1, CELL);
  parts.mapNote.textContent = `Units ${first} to ${last - 1} downwards, steps ${from} to ${to - 1} to the right; ` +
    `the largest magnitude is ${brief(largest)}. Click a unit and a step to go there.`;
  if (context.followed !== step) keepInView(map.parentElement, (step - from) * CELL);
  context.followed = step; // until the next step it stays where somebody scrolls it
}

/** The arrow keys go from step to step, so the map follows them where it is wider than the page. */
function keepInView(box, x) {
  if (x < box.scrollLeft || x + CELL > box.scrollLeft + box.clientWidth) box.scrollLeft = x - box.clientWidth / 2;
}

function pick(event, { walk: seen, parts }) {
  const box = parts.map.getBoundingClientRect();
  const [column, row] = [(event.clientX - box.left) / CELL, (event.clientY - box.top) / CELL].map(Math.floor);
  const { step } = spot({ walk: seen });
  go({ step: stepsShown(seen, step)[0] + column, unit: unitsShown(seen)[0] + row });
}
