// The text under the pointer or the arrow keys: what the network expected there instead.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const text = document.getElementById("text");
const readout = document.getElementById("readout");
const marks = Array.from(text.children);
const places = new Map(marks.map((mark, n) => [mark, n]));
let current = 0;

function name(id) {
  const c = String.fromCodePoint(data.vocabulary[id]);
  // What is nothing to see, or would turn the direction of the rest.
  return { " ": "␣", "\n": "⏎", "\t": "⇥" }[c] ?? (/[\p{C}\p{M}]/u.test(c) ? `\\u{${c.codePointAt(0).toString(16)}}` : c);
}

function element(kind, content, style) {
  const made = document.createElement(kind);
  made.textContent = content;
  if (style) made.className = style;
  return made;
}

// Percent of a probability in thousandths.
function percent(thousandths) {
  return thousandths < 1 ? "<0.1%" : (thousandths / 10).toFixed(1) + "%";
}

function show(n) {
  marks[current].classList.remove("at");
  current = Math.max(0, Math.min(n, marks.length - 1));
  marks[current].classList.add("at");
  const id = data.ids[current];
  readout.replaceChildren(element("b", name(id), "read"));
  if (current === 0) {
    readout.append(" The first character is read, not predicted.");
    return;
  }
  readout.append(element("span", (data.centibits[current - 1] / 100).toFixed(2) + " bits", "bits"));
  const guesses = data.guesses[current - 1];
  for (let k = 0; k < guesses.length; k += 2) {
    const guess = element("span", "", guesses[k] === id ? "guess hit" : "guess");
    guess.append(element("b", name(guesses[k])), " " + percent(guesses[k + 1]));
    guess.style.setProperty("--share", guesses[k + 1] / 10 + "%");
    readout.append(guess);
  }
}

// The character above or below, by where the lines broke.
function vertical(direction) {
  const from = marks[current].getBoundingClientRect();
  let n = current + direction;
  let best = current;
  let line = null;
  for (; n >= 0 && n < marks.length; n += direction) {
    const to = marks[n].getBoundingClientRect();
    if (Math.abs(to.top - from.top) < from.height / 2) continue;
    line ??= to.top;
    if (Math.abs(to.top - line) > from.height / 2) break;
    best = n;
    if ((to.left - from.left) * direction >= 0) break;
  }
  return best;
}

const moves = {
  ArrowRight: () => current + 1,
  ArrowLeft: () => current - 1,
  ArrowDown: () => vertical(1),
  ArrowUp: () => vertical(-1),
  Home: () => 0,
  End: () => marks.length - 1,
};

text.addEventListener("pointerover", (event) => {
  const n = places.get(event.target);
  if (n !== undefined) show(n);
});
text.addEventListener("focus", () => show(current));
text.addEventListener("keydown", (event) => {
  if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  show(moves[event.key]());
  marks[current].scrollIntoView({ block: "nearest" });
});
