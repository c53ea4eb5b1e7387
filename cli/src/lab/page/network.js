// The network unrolled in time: characters from left to right, layers upwards, and below it the strips of one unit.

import { brief, svg, visible } from "./dom.js";

const COLUMN = 54;
const ROW = 62;
const [NODE_WIDTH, NODE_HEIGHT] = [34, 26];
const LEFT = 64;
const STRIP = 15;
const NAMES = { dz_i: "dz i", dz_f: "dz f", dz_g: "dz g", dz_o: "dz o" };

/** The steps that a picture of `width` pixels has room for, with `step` among them. */
export function windowAround(step, steps, width) {
  const count = Math.max(3, Math.min(Math.floor((width - LEFT - 30) / COLUMN), 40));
  const from = Math.max(0, Math.min(Math.floor(step - count / 2), steps - count));
  return [from, Math.min(from + count, steps)];
}

const x = (column) => LEFT + COLUMN * (column + 0.5);

/** The drawing of the steps `from` to `to`. `view` says which spot is lit and what each node holds. */
export function drawNetwork(walk, [from, to], view) {
  const layers = walk.sizes.layers;
  const height = ROW * (layers + 2) + 8;
  const y = (level) => height - 34 - ROW * level;
  const width = LEFT + COLUMN * (to - from) + 30;
  const picture = svg("svg", {
    id: "network-picture", viewBox: `0 0 ${width} ${height}`, width, height, tabindex: 0, role: "group",
    "aria-label": "The network unrolled: the arrow keys go from equation to equation",
  }, arrowHeads());
  labels(picture, layers, y);
  const lit = new Map(view.edges.map((edge) => [edge.id, edge.isBack]));
  const edge = (id, path) => {
    const isLit = lit.has(id);
    const back = lit.get(id);
    picture.append(svg("path", {
      d: path, "data-edge": id,
      class: `edge${isLit ? (back ? " lit back" : " lit") : ""}`,
      [back ? "marker-start" : "marker-end"]: isLit ? `url(#head-${back ? "back" : "ahead"})` : null,
    }));
  };
  for (let t = from; t < to; t++) {
    for (let level = 0; level <= layers; level++) {
      edge(`v-${t}-${level}`, `M${x(t - from)} ${y(level) - 14}V${y(level + 1) + 17}`);
    }
  }
  for (let t = from; t <= Math.min(to, walk.steps.length - 1); t++) {
    for (let l = 0; l < layers; l++) {
      const [start, end] = [x(t - from - 1) + NODE_WIDTH / 2 + 2, x(t - from) - NODE_WIDTH / 2 - 4];
      edge(`h-${t}-${l}`, `M${start} ${y(l + 1) - 6}H${end}`);
      edge(`c-${t}-${l}`, `M${start} ${y(l + 1) + 6}H${end}`);
    }
  }
  for (let t = from; t < to; t++) column(picture, walk, t, x(t - from), y, view);
  return picture;
}

function arrowHeads() {
  const head = (id, name) => svg("marker", {
    id, viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 4, markerHeight: 4, orient: "auto-start-reverse",
  }, svg("path", { d: "M0 0L8 4L0 8Z", class: name }));
  return svg("defs", {}, head("head-ahead", "head"), head("head-back", "head back"));
}

function labels(picture, layers, y) {
  const label = (level, text) => svg("text", { class: "end", x: LEFT - 14, y: y(level) + 4 }, text);
  picture.append(label(0, "reads"), label(layers + 1, "predicts"));
  for (let l = 0; l < layers; l++) {
    picture.append(
      label(l + 1, `layer ${l}`),
      svg("text", { class: "end small", x: LEFT + 4, y: y(l + 1) - 9 }, "h"),
      svg("text", { class: "end small", x: LEFT + 4, y: y(l + 1) + 18 }, "c"));
  }
}

function column(picture, walk, t, middle, y, view) {
  const { character, next, bits } = walk.steps[t];
  const layers = walk.sizes.layers;
  const node = (level, text, name, share, hue) => {
    const isHere = view.step === t && view.level === level;
    const box = svg("rect", {
      x: middle - NODE_WIDTH / 2, y: y(level) - NODE_HEIGHT / 2, width: NODE_WIDTH, height: NODE_HEIGHT, rx: 5,
      class: `node ${hue}${isHere ? " here" : ""}`, "--share": `${Math.round(share * 100)}%`,
    });
    const words = svg("text", { class: "mid mono", x: middle, y: y(level) + 4 }, text);
    picture.append(svg("g", {
      class: "choice", "data-step": t, "data-level": level, onclick: () => view.choose(t, level),
    }, svg("title", {}, name), box, words));
  };
  for (let l = 0; l < layers; l++) {
    const value = view.values?.[l]?.[t - view.from];
    const share = value == null || !view.largest ? 0 : Math.min(1, Math.abs(value) / view.largest);
    node(l + 1, value == null ? "" : short(value), `step ${t}, layer ${l}: ${view.name} = ${brief(value)}`,
      share * 0.7, value < 0 ? "warm" : "cool");
  }
  node(layers + 1, visible(next), `step ${t}: predicts ${visible(next)}, ${brief(bits)} bits`, Math.min(1, bits / 8) * 0.6, "warm");
  picture.append(svg("text", { class: "mid mono character", x: middle, y: y(0) + 4 }, visible(character)));
  picture.append(svg("text", { class: `mid small${view.step === t ? " now" : ""}`, x: middle, y: y(0) + 24 }, t));
}

/** Five characters at most. */
function short(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (size === 0) return "0";
  if (size < 0.01) return sign + size.toExponential(0).replace("e-", "e−");
  return sign + (size < 1 ? size.toFixed(2).replace(/^0/, "") : size.toPrecision(size < 10 ? 2 : 3));
}

/** The quantities of one unit over the same steps, in the same columns. */
export function drawStrips(strips, layer, [from, to], step, choose) {
  const rows = strips.layers[layer];
  const height = STRIP * rows.length + 4;
  const width = LEFT + COLUMN * (to - from) + 30;
  const picture = svg("svg", {
    id: "strips", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": "Gates, states and gradients of the unit at each step",
  });
  rows.forEach((row, n) => {
    const name = strips.quantities[n];
    const largest = Math.max(...row.map(Math.abs));
    picture.append(svg("text", { class: "end", x: LEFT - 14, y: STRIP * n + 12 }, NAMES[name] ?? name));
    row.forEach((value, column) => {
      const share = largest > 0 ? Math.abs(value) / largest : 0;
      picture.append(svg("rect", {
        x: x(column) - COLUMN / 2 + 1, y: STRIP * n + 1, width: COLUMN - 2, height: STRIP - 2, rx: 2,
        class: `strip ${value < 0 ? "warm" : "cool"}${from + column === step ? " here" : ""}`,
        "--share": `${Math.round(share * 85)}%`, onclick: () => choose(from + column),
      }, svg("title", {}, `${NAMES[name] ?? name} at step ${from + column}: ${brief(value)}`)));
    });
  });
  return picture;
}

/** What an equation reads and where its result goes, as edges of the drawing. */
export function edgesOf(label, symbols, step, layer, layers, level) {
  const [up, below] = [`v-${step}-${layer + 1}`, `v-${step}-${layer}`];
  const [hIn, cIn, hOut, cOut] = [`h-${step}-${layer}`, `c-${step}-${layer}`, `h-${step + 1}-${layer}`, `c-${step + 1}-${layer}`];
  const top = `v-${step}-${layers}`;
  const ahead = (...ids) => ids.map((id) => ({ id, isBack: false }));
  const back = (...ids) => ids.map((id) => ({ id, isBack: true }));
  if (level > layers) return label === "B4" || label === "B2" ? back(top) : label.startsWith("F") ? ahead(top) : [];
  switch (label) {
    case "F1": return ahead(below, hIn);
    case "F6": return ahead(cIn);
    case "F8": return ahead(up);
    case "B5": return back(up);
    case "B6": return back(up, hOut);
    case "B8": return back(cOut);
    case "B12": return back(cIn);
    case "B18": return back(hIn);
    case "B19": return back(below);
    case "B20": return back(symbols.startsWith("dy") ? up : below);
    case "B21": return back(symbols.startsWith("dh") ? hIn : cIn);
    default: return [];
  }
}
