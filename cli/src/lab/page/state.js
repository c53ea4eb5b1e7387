// What is shown, kept in the address: whoever opens the same address sees the same spot.

const defaults = {
  tab: "step", net: "0", text: "",
  // Step
  phase: "forward", step: 0, place: 0, unit: 0, eq: 0, quantity: "c", units: 0,
  // Nudge
  tensor: "", row: 0, column: 0, epsilon: 0, range: 1, show: "gradients",
  // Reach
  at: -1, window: 0, net2: "", through: "dh", layer: -1,
  // Write
  temperature: 1, topn: 5, topp: 1, seed: 1, written: 0,
  // Cells
  from: 0, to: 0, cellLayer: -1, cellUnit: 0,
  // Watch
  runs: "",
};

export const state = read();
const listeners = [];

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const value = (key, usual) => {
    if (!given.has(key)) return usual;
    if (typeof usual === "string") return given.get(key);
    const number = Number(given.get(key));
    return Number.isFinite(number) ? number : usual;
  };
  return Object.fromEntries(Object.entries(defaults).map(([key, usual]) => [key, value(key, usual)]));
}

/** The text where the address has none. */
export function startWith(text) {
  defaults.text = text;
  set(read());
}

/** The address of the spot that is shown. The text is always part of it: another lab may start with another. */
function address() {
  const changed = Object.entries(state).filter(([key, value]) => key === "tab" || key === "text" || value !== defaults[key]);
  return `#${new URLSearchParams(changed)}`;
}

/** Shows something else; `isNew` if the browser's way back shall lead here. */
export function set(changes, isNew = false) {
  Object.assign(state, changes);
  write(isNew ? "pushState" : "replaceState");
  listeners.forEach((listener) => listener());
}

let later = 0;

/** Puts the spot into the address. Browsers refuse that where it comes too often, as with a key that is held down. */
function write(how) {
  clearTimeout(later);
  try {
    history[how](null, "", address());
  } catch (error) {
    if (error.name !== "SecurityError") throw error;
  }
  // Some browsers do not say that they refuse.
  if (location.hash !== address()) later = setTimeout(write, 1000, "replaceState");
}

/** Calls `listener` whenever something else is to be shown. */
export function watch(listener) {
  listeners.push(listener);
}

addEventListener("hashchange", () => set(read()));
addEventListener("popstate", () => set(read()));
