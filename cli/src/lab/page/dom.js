// Elements, questions to the lab, and numbers for the eye.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick`) and children. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of a drawing. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** A labelled control. */
export function field(label, control, extra = "") {
  return el("label", { class: `field ${extra}` }, el("span", {}, label), control);
}

export function button(label, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, label);
}

export function select(options, onchange, attributes = {}) {
  const control = el("select", { ...attributes, onchange: () => onchange(control.value) });
  setOptions(control, options);
  return control;
}

/** Replaces the options, pairs of value and label, and keeps the choice. */
export function setOptions(control, options) {
  const isThere = ([value, label], n) => control.options[n].value === String(value) && control.options[n].label === label;
  if (control.options.length === options.length && options.every(isThere)) return; // somebody may be choosing
  const chosen = control.value;
  control.replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  if (options.some(([value]) => String(value) === chosen)) control.value = chosen;
}

/** A number that can be typed; nonsense is left alone. */
export function number(onchange, attributes = {}) {
  const control = el("input", { type: "number", ...attributes });
  control.addEventListener("change", () => {
    if (control.value !== "" && control.checkValidity()) onchange(Number(control.value));
  });
  return control;
}

/** Writes `value` into a control that nobody is typing in. */
export function put(control, value) {
  if (document.activeElement !== control && control.value !== String(value)) control.value = value;
}

export function ask(name, question, signal) {
  return answer(fetch(`api/${name}`, { method: "POST", body: JSON.stringify(question), signal }));
}

/** `ask` that calls off its question before: the lab does not begin with what nobody waits for any more. */
export function asking(name) {
  let before;
  return (question) => {
    before?.abort();
    before = new AbortController();
    return ask(name, question, before.signal);
  };
}

export function get(name) {
  return answer(fetch(`api/${name}`));
}

async function answer(request) {
  const response = await request.catch(() => { throw new Error("The lab no longer answers: it has ended. The lab of a training run ends with the run."); });
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

/** Says at the top of the page what went wrong. */
export function say(error) {
  const message = document.getElementById("message");
  message.textContent = error.message;
  message.hidden = false;
}

/** `make` that remembers its last answers, and for so many milliseconds that it failed. */
export function remembered(make, most = 200, pause = 0) {
  const known = new Map();
  return (question) => {
    const key = JSON.stringify(question);
    if (!known.has(key)) {
      const forget = () => known.delete(key);
      known.set(key, make(question).catch((error) => {
        if (pause) setTimeout(forget, pause);
        else forget();
        throw error;
      }));
      if (known.size > most) known.delete(known.keys().next().value);
    }
    return known.get(key);
  };
}

/** Of several overlapping calls only the last may go on or fail: the others get `false`. */
export function latest() {
  let newest = 0;
  return async (promise) => {
    const own = ++newest;
    try {
      const value = await promise;
      return own === newest && value;
    } catch (error) {
      if (own === newest) throw error;
      return false;
    }
  };
}

const askWalk = asking("walk");
const walks = remembered(({ network, text }) => askWalk({ network, text }), 8);

/** A run may be trained or overwritten meanwhile, so an answer is remembered for a while only. */
export const walk = (question) => walks({ ...question, until: Math.floor(Date.now() / 30000) });

/** What a question about a walk begins with. Another network of the same name has another loss. */
export const onWalk = ({ network, loss }, text) => ({ network, text, of: loss });

/** A number with all its digits. */
export function whole(x) {
  if (x == null) return "not finite";
  const isSmall = x !== 0 && Math.abs(x) < 1e-3;
  return (isSmall ? x.toExponential() : String(x)).replaceAll("-", "−");
}

/** An element that shows a number in full. */
export function shown(x, name) {
  return el("span", { class: "number", "data-name": name, "data-value": String(x) }, whole(x));
}

/** A number in few digits. */
export function brief(x) {
  if (x == null) return "–";
  const size = Math.abs(x);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? x.toExponential(2) : String(Number(x.toPrecision(4)));
  return text.replaceAll("-", "−");
}

/** A character that can be seen. */
export function visible(c) {
  return { " ": "␣", "\n": "⏎", "\t": "⇥" }[c] ?? (/[\p{C}\p{M}]/u.test(c) ? `\\u{${c.codePointAt(0).toString(16)}}` : c);
}

/** A text whose invisible characters are written out: none of them can turn the direction of the others. */
export function printable(text) {
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cf}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** The colours of the scheme in force. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
