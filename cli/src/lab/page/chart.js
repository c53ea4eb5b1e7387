// Line charts. Points come as they are to be drawn: [x, y], null where there is none.

import { el, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BELOW] = [480, 250, 58, 12, 10, 36];

/** The style of line `n`: three colours, then the same again, dashed. */
export const line = (n) => `line-${(n % 3) + 1}${n % 6 < 3 ? "" : " dashed"}`;

/**
 * @param series of { name, class, points, dots }
 * @param options title, x, y (names of the axes), logX, logY, at (an x to mark), ahead ([x, y] to mark)
 */
export function chart(series, options) {
  const { title, logX = false, logY = false } = options;
  const drawn = series.map((one) => ({ ...one, points: one.points.filter(([x, y]) => fits(x, logX) && fits(y, logY)) }));
  const all = drawn.flatMap((one) => one.points);
  const x = axis(all.map(([x]) => x).concat(options.at ?? []), logX, LEFT, WIDTH - RIGHT);
  const y = axis(all.map(([, y]) => y), logY, HEIGHT - BELOW, TOP);
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const tick of y.ticks) {
    picture.append(
      svg("path", { class: "grid", d: `M${LEFT} ${y.place(tick)}H${WIDTH - RIGHT}` }),
      svg("text", { class: "end", x: LEFT - 6, y: y.place(tick) + 3.5 }, y.name(tick)));
  }
  for (const tick of x.ticks) {
    picture.append(svg("text", { class: "mid", x: x.place(tick), y: HEIGHT - BELOW + 15 }, x.name(tick)));
  }
  picture.append(svg("text", { class: "mid", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4 }, options.x));
  if (options.at != null && fits(options.at, logX)) {
    picture.append(svg("path", { class: "mark", d: `M${x.place(options.at)} ${TOP}V${HEIGHT - BELOW}` }));
  }
  for (const one of drawn) {
    const line = one.points.map(([px, py], n) => `${n ? "L" : "M"}${x.place(px).toFixed(1)} ${y.place(py).toFixed(1)}`);
    picture.append(svg("path", { class: one.class, d: line.join("") + (line.length === 1 ? "h.1" : "") }));
    if (one.dots) {
      picture.append(...one.points.map(([px, py]) =>
        svg("circle", { class: `dot ${one.class}`, cx: x.place(px), cy: y.place(py), r: 2.5 })));
    }
  }
  if (options.ahead) {
    picture.append(svg("circle", { class: "ahead", cx: x.place(options.ahead[0]), cy: y.place(options.ahead[1]), r: 5 }));
  }
  const keys = drawn.filter((one) => one.points.length).map((one) => el("span", { class: `key ${one.class}` }, one.name));
  return el("figure", {}, el("figcaption", {}, el("b", {}, title), keys), picture);
}

function fits(value, isLog) {
  return Number.isFinite(value) && (!isLog || value > 0);
}

/** From values to places between `start` and `end`, and round values for the ticks. */
function axis(values, isLog, start, end) {
  const scale = (value) => (isLog ? Math.log10(value) : value);
  let [low, high] = [Math.min(...values.map(scale)), Math.max(...values.map(scale))];
  if (!(low < high)) [low, high] = Number.isFinite(low) ? [low - 0.5, low + 0.5] : [0, 1];
  const place = (value) => start + ((scale(value) - low) / (high - low)) * (end - start);
  return { place, ...(isLog ? decades(low, high) : rounds(low, high)) };
}

function rounds(low, high) {
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((step) => step >= rough) ?? rough;
  const count = Math.floor(high / step) - Math.ceil(low / step) + 1;
  const ticks = Array.from({ length: count }, (_, n) => (Math.ceil(low / step) + n) * step);
  const place = (size) => Math.floor(Math.log10(size) + 1e-9);
  const largest = Math.max(Math.abs(low), Math.abs(high));
  const plain = (tick) => tick.toFixed(Math.max(0, -place(step)));
  // As many digits as tell one tick from the next.
  const short = (tick) => (tick === 0 ? "0" : tick.toExponential(Math.max(0, place(Math.abs(tick)) - place(step))));
  return { ticks, name: (tick) => minus(largest >= 1e-3 && largest < 1e6 ? plain(tick) : short(tick)) };
}

/** The name of a tick on a logarithmic axis. */
function power(tick) {
  return minus(tick >= 1e-3 && tick < 1e5 ? String(Number(tick.toPrecision(3))) : tick.toExponential(0));
}

const minus = (text) => text.replaceAll("-", "−");

function decades(low, high) {
  const digits = high - low < 2 ? [1, 2, 5] : [1];
  const all = [];
  for (let n = Math.floor(low); n <= high; n++) all.push(...digits.map((digit) => digit * 10 ** n));
  const inside = all.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  if (inside.length < 2) return rounds(10 ** low, 10 ** high);
  return { ticks: inside.filter((_, n) => n % Math.ceil(inside.length / 7) === 0), name: power };
}
