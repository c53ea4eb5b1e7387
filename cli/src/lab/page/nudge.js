// Nudge: one weight is moved, and the loss follows the line that the gradient predicts, until it bends away.

import { chart } from "./chart.js";
import { asking, brief, button, colour, el, field, latest, number, onWalk, put, remembered, select, setOptions, shown, visible, walk } from "./dom.js";
import { set, state } from "./state.js";

const GATES = ["i", "f", "g", "o"];
const SIDE = 32;
const CELL = 11;
const POINTS = 21;
const FEW_POINTS = 9;
/** 10⁰, 10⁻¹, …, 10⁻¹². */
const STEPS = Array.from({ length: 13 }, (_, n) => Number(`1e-${n}`));

export function createNudge(root) {
  const parts = {
    tensor: select([], (tensor) => set({ tensor, row: 0, column: 0, epsilon: 0 }), { id: "tensor" }),
    row: number((row) => set({ row, epsilon: 0 }), { id: "row", min: 0 }),
    column: number((column) => set({ column, epsilon: 0 }), { id: "column", min: 0 }),
    name: el("input", { id: "weight-name", spellcheck: "false", autocomplete: "off", size: 18 }),
    range: select([0.001, 0.01, 0.1, 1, 10].map((n) => [n, `±${n}`]), (range) => set({ range: Number(range), epsilon: 0 }), { id: "range" }),
    slider: el("input", { type: "range", id: "epsilon", "aria-label": "ε, by which the weight is moved" }),
    show: select([["gradients", "gradient"], ["values", "weight"]], (show) => set({ show }), { id: "show" }),
    matrix: el("canvas", { id: "matrix", tabindex: 0, role: "application" }),
    what: el("p", { class: "note", id: "weight-what" }),
    table: el("table", { id: "nudge-values" }),
    curve: el("div", {}),
    errors: el("div", {}),
  };
  const context = { parts, walk: null };
  parts.name.addEventListener("change", () => byName(context));
  parts.slider.addEventListener("input", () => set({ epsilon: Number(parts.slider.value) }));
  parts.matrix.addEventListener("click", (event) => pick(event, context));
  parts.matrix.addEventListener("keydown", (event) => walkMatrix(event, context));
  root.append(
    el("p", { class: "note" }, "Move a weight by ε. The gradient says how the loss will change for a very small ε: a straight line. " +
      "The loss itself is computed again each time, by the forward pass alone."),
    el("div", { class: "bar" }, field("tensor", parts.tensor), field("row", parts.row), field("column", parts.column),
      field("or by name", parts.name), field("colour by", parts.show)),
    parts.what,
    el("div", { class: "columns" },
      el("section", { "aria-label": "The matrix" }, el("div", { class: "scroll", tabindex: -1 }, parts.matrix)),
      el("section", { "aria-label": "The nudge" },
        el("div", { class: "bar" }, field("ε", parts.slider, "long"), field("range", parts.range),
          button("back to 0", () => set({ epsilon: 0 }))),
        parts.table)),
    el("div", { class: "columns" }, parts.curve, parts.errors));
  const only = latest();
  return async () => {
    const found = await only(walk({ network: state.net, text: state.text }));
    if (found) await draw(Object.assign(context, { walk: found }));
  };
}

/** The weight as it can be with this network. */
function weight({ walk: seen }) {
  const [tensor, [rows, columns]] = seen.tensors.find(([name]) => name === state.tensor) ?? seen.tensors[1];
  const [row, column] = [Math.min(state.row, rows - 1), Math.min(state.column, columns - 1)];
  return { tensor, row, column, rows, columns };
}

const nameOf = (tensor, rows, row, column) => `${tensor}[${rows > 1 ? `${row},` : ""}${column}]`;

/** `w_hh_l0[3,17]`, or `b_l0[5]`. */
function byName({ parts, walk: seen }) {
  const [, tensor, first, second] = parts.name.value.trim().match(/^([\w.]+)\s*\[\s*(\d+)\s*(?:,\s*(\d+)\s*)?\]$/) ?? [];
  const [row, column] = second === undefined ? [0, Number(first)] : [Number(first), Number(second)];
  const [, [rows, columns]] = seen.tensors.find(([name]) => name === tensor) ?? [null, [0, 0]];
  const wrong = rows === 0 || (rows > 1 && second === undefined) ? `a weight is named as in ${seen.tensors[1][0]}[3,17]`
    : row < rows && column < columns ? "" : `the last weight there is ${nameOf(tensor, rows, rows - 1, columns - 1)}`;
  parts.name.setCustomValidity(wrong);
  if (!parts.name.reportValidity()) return;
  set({ tensor, row, column, epsilon: 0 });
}

const [onlyNudge, onlyCurve, onlyMatrix] = [latest(), latest(), latest()];
const nudgeOf = asking("nudge");
const [curveOf, differencesOf, matrixOf] = ["nudge", "differences", "matrix"].map((name) => remembered(asking(name), 20));

async function draw(context) {
  const { parts, walk: seen } = context;
  const { tensor, row, column, rows, columns } = weight(context);
  const shape = ([name, [rows, columns]]) => [name, `${name} [${rows > 1 ? `${rows}, ` : ""}${columns}]`];
  setOptions(parts.tensor, seen.tensors.map(shape));
  parts.tensor.value = tensor;
  [parts.row.max, parts.column.max] = [rows - 1, columns - 1];
  put(parts.row, row);
  put(parts.column, column);
  put(parts.name, nameOf(tensor, rows, row, column));
  parts.name.setCustomValidity(""); // of what was typed before
  parts.show.value = state.show;
  parts.range.value = state.range;
  Object.assign(parts.slider, { min: -state.range, max: state.range, step: state.range / 100 });
  parts.slider.value = state.epsilon;
  parts.what.textContent = meaning(seen, tensor, row, column);
  const at = { ...onWalk(seen, state.text), tensor, row, column };
  await Promise.all([nudge(parts, at), curves(context, at), matrix(context)]);
}

/** What the weight connects. */
function meaning({ vocabulary, sizes }, tensor, row, column) {
  const gate = () => `${GATES[Math.floor(column / sizes.hidden)]} of unit ${column % sizes.hidden}`;
  if (tensor === "projection.w") return `From unit ${row} of the last layer to the logit of ${visible(vocabulary[column])}.`;
  if (tensor === "projection.b") return `Bias of the logit of ${visible(vocabulary[column])}.`;
  if (tensor.startsWith("b_")) return `Bias of ${gate()}.`;
  if (tensor === "w_ih_l0") return `From the character ${visible(vocabulary[row])} to ${gate()}.`;
  return `From unit ${row} ${tensor.startsWith("w_hh") ? "at the step before" : "of the layer below"} to ${gate()}.`;
}

async function nudge(parts, at) {
  const found = await onlyNudge(nudgeOf({ ...at, epsilons: [state.epsilon] }));
  if (!found) return;
  const { slope, points: [point] } = found;
  parts.point = [point.epsilon, point.loss - slope.loss];
  const rows = [
    ["weight θ", slope.weight, "weight"], ["gradient dL/dθ", slope.gradient, "gradient"], ["loss L", slope.loss, "loss"],
    ["ε", point.epsilon, "epsilon"], ["loss at θ + ε", point.loss, "moved"],
    ["the line L + ε·dL/dθ", point.line, "line"], ["difference", point.difference, "difference"],
  ];
  parts.table.replaceChildren(el("tbody", {}, rows.map(([title, value, name]) =>
    el("tr", {}, el("th", { scope: "row" }, title), el("td", {}, shown(value, name))))));
  drawCurve(parts);
}

/** Each point of a curve is a way forward, which takes its time in a large network. */
const isLarge = ({ sizes, steps }) => sizes.hidden ** 2 * sizes.layers * steps.length > 2e7;

async function curves({ parts, walk: seen }, at) {
  const key = JSON.stringify([at, state.range]);
  if (parts.key === key) {
    await onlyCurve(null); // what was asked of another weight is out of date
    return;
  }
  Object.assign(parts, { key: "", around: null, point: null }); // the point is of another weight
  const points = isLarge(seen) ? FEW_POINTS : POINTS;
  const epsilons = Array.from({ length: points }, (_, n) => state.range * ((2 * n) / (points - 1) - 1));
  const steps = isLarge(seen) ? STEPS.filter((_, n) => n % 2 === 0) : STEPS;
  const found = await onlyCurve(Promise.all([
    curveOf({ ...at, epsilons }), differencesOf({ ...at, epsilons: steps }),
  ]));
  if (!found) return;
  const [around, differences] = found;
  Object.assign(parts, { key, around });
  drawCurve(parts);
  parts.errors.replaceChildren(
    chart([{ name: "|D(ε) − dL/dθ|", class: "line-2", dots: true, points: differences.points.map((p) => [p.epsilon, p.error]) }],
      { title: "Error of the finite difference", x: "ε", logX: true, logY: true }),
    el("p", { class: "note" }, "D(ε) = (L(θ+ε) − L(θ−ε)) / 2ε. On the right, the loss bends between θ−ε and θ+ε: this error shrinks as ε². " +
      "On the left, rounding dominates: that error grows as 1/ε."),
    best(differences));
}

function best({ points, slope }) {
  const least = points.reduce((best, point) => (point.error < best.error ? point : best));
  return el("p", {}, `Closest at ε = ${brief(least.epsilon)}: `, shown(least.central, "central"), " against a gradient of ",
    shown(slope.gradient, "gradient"), ".");
}

function drawCurve(parts) {
  if (!parts.around) return;
  const { points, slope } = parts.around;
  const beyond = (name) => points.map((point) => [point.epsilon, point[name] - slope.loss]);
  parts.curve.replaceChildren(chart([
    { name: "loss − L", class: "line-1", points: beyond("loss") },
    { name: "what the gradient predicts", class: "limit", points: beyond("line") },
  ], { title: "Loss around the weight", x: "ε", ahead: parts.point }));
}

/** The part of the matrix that is drawn. */
function partOf({ rows, columns, row, column }) {
  const [first, from] = [Math.floor(row / SIDE) * SIDE, Math.floor(column / SIDE) * SIDE];
  return { rows: [first, Math.min(first + SIDE, rows)], columns: [from, Math.min(from + SIDE, columns)] };
}

async function matrix(context) {
  const { parts } = context;
  const at = weight(context);
  const part = partOf(at);
  const found = await onlyMatrix(matrixOf({ ...onWalk(context.walk, state.text), tensor: at.tensor, ...part }));
  if (!found) return;
  const values = found[state.show];
  const { matrix: canvas } = parts;
  const scale = devicePixelRatio;
  const [width, height] = [values[0].length * CELL, values.length * CELL];
  [canvas.width, canvas.height, canvas.style.width] = [width * scale, height * scale, `${width}px`];
  const [[first, last], [from, to]] = [part.rows, part.columns];
  canvas.setAttribute("aria-label", `${at.tensor}, rows ${first} to ${last - 1}, columns ${from} to ${to - 1}: the arrow keys move the choice`);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const largest = Math.max(1e-300, ...values.map((row) => Math.max(...row.map(Math.abs))));
  const [cool, warm, ink] = ["--cool", "--warm", "--ink"].map(colour);
  values.forEach((row, y) => row.forEach((value, x) => {
    pen.globalAlpha = Math.abs(value) / largest;
    pen.fillStyle = value < 0 ? warm : cool;
    pen.fillRect(x * CELL, y * CELL, CELL - 1, CELL - 1);
  }));
  pen.globalAlpha = 1;
  pen.strokeStyle = ink;
  pen.lineWidth = 2;
  pen.strokeRect((at.column - from) * CELL, (at.row - first) * CELL, CELL - 1, CELL - 1);
}

function pick(event, context) {
  const part = partOf(weight(context));
  const box = context.parts.matrix.getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / CELL, (event.clientY - box.top) / CELL].map(Math.floor);
  set({ row: part.rows[0] + y, column: part.columns[0] + x, epsilon: 0 });
}

function walkMatrix(event, context) {
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
  if (down === undefined) return;
  event.preventDefault();
  const { row, column, rows, columns } = weight(context);
  const [y, x] = [row + down, column + right];
  if (y >= 0 && y < rows && x >= 0 && x < columns) set({ row: y, column: x, epsilon: 0 });
}
