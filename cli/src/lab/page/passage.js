// A text, character by character: one of them is chosen by click or arrow keys, a span by dragging or with Shift.

import { el, printable } from "./dom.js";

/**
 * @param label what a screen reader calls it
 * @param onchoose called with the chosen place, and the anchor of the span if it is one
 */
export function passage(label, onchoose) {
  const root = el("div", { class: "passage choosable", tabindex: 0, role: "group", "aria-label": `${label}: the arrow keys move` });
  let [at, anchor, isDragging] = [0, 0, false];
  const choose = (place, isSpan) => {
    at = Math.max(0, Math.min(place, root.children.length - 1));
    if (!isSpan) anchor = at;
    onchoose(at, anchor);
  };
  const placeOf = (target) => [...root.children].indexOf(target.closest(".passage > i"));
  root.addEventListener("pointerdown", (event) => {
    const place = placeOf(event.target);
    if (place < 0) return;
    isDragging = true;
    choose(place, event.shiftKey);
  });
  root.addEventListener("pointerover", (event) => {
    const place = isDragging ? placeOf(event.target) : -1;
    if (place >= 0) choose(place, true);
  });
  addEventListener("pointerup", () => { isDragging = false; });
  root.addEventListener("keydown", (event) => {
    const line = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const place = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: root.children.length - 1 }[event.key]
      ?? (line && nextLine(root, at, line));
    if (place == null) return;
    event.preventDefault();
    choose(place, event.shiftKey);
  });
  return {
    root,
    /** Draws `characters`; `look(n)` gives the class, the strength from 0 to 1, and the title of each. */
    draw(characters, look, place = at, start = place) {
      // Where it is the span that is there, its ends stay: one that grows to the left has its anchor on the right.
      if (Math.min(at, anchor) !== start || Math.max(at, anchor) !== place) [at, anchor] = [place, start];
      const words = characters.map((c) => (c === "\n" ? "⏎\n" : printable(c)));
      // The marks that are there stay, so that a click or a drag on one of them goes on.
      const isSame = words.length === root.children.length && [...root.children].every((mark, n) => mark.textContent === words[n]);
      if (!isSame) root.replaceChildren(...words.map((word) => el("i", {}, word)));
      [...root.children].forEach((mark, n) => {
        const { name = "", share = 0, title = "" } = look(n);
        mark.className = name;
        mark.style.setProperty("--share", `${Math.round(share * 75)}%`);
        mark.title = title ?? "";
      });
    },
  };
}

/** The character above or below. */
function nextLine(root, at, by) {
  const marks = [...root.children];
  const here = marks[at];
  if (!here) return at;
  const line = marks.filter((mark) => by * (mark.offsetTop - here.offsetTop) > 2);
  if (line.length === 0) return at;
  const edge = by > 0 ? line[0].offsetTop : line.at(-1).offsetTop;
  const distance = (mark) => Math.abs(mark.offsetLeft - here.offsetLeft);
  const near = line.filter((mark) => Math.abs(mark.offsetTop - edge) < 3);
  return marks.indexOf(near.reduce((best, mark) => (distance(mark) < distance(best) ? mark : best)));
}
