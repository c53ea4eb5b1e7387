// The derivation of an equation, beside the numbers. The text is docs/derivation.md, as it lies in the program.

import { button, el, get, remembered } from "./dom.js";

const derivation = remembered((label) => get(`derivation/${label}`));

/** A panel that is empty until an equation is asked for. */
export function createDerivation() {
  const panel = el("section", { id: "derivation", "aria-live": "polite", hidden: true });
  let opener = null;
  // The page may have been drawn anew: then the equation that is shown takes the place of its opener.
  const close = () => {
    panel.hidden = true;
    (opener?.isConnected ? opener : document.querySelector("#now .label"))?.focus();
  };
  panel.addEventListener("keydown", (event) => event.key === "Escape" && close());
  return {
    panel,
    async open(label, from) {
      opener = from;
      const { title, text } = await derivation(label);
      const heading = el("h3", { tabindex: "-1" }, inline(title));
      panel.replaceChildren(button("Close", close, { class: "close" }), heading, ...blocks(text));
      panel.hidden = false;
      heading.focus();
    },
  };
}

/** Paragraphs, lists and formulas of the part of Markdown that the document uses. */
function blocks(text) {
  const parts = text.split(/```math\n([\s\S]*?)```/);
  return parts.flatMap((part, n) => n % 2
    ? [el("p", { class: "formula" }, formula(part))]
    : part.trim().split(/\n\n+/).filter(Boolean).map(paragraph));
}

function paragraph(text) {
  if (!text.startsWith("- ")) return el("p", {}, inline(text));
  return el("ul", {}, text.split(/\n(?=- )/).map((item) => el("li", {}, inline(item.slice(2)))));
}

/** Text with code, formulas and emphasis; links become their words. */
function inline(text) {
  const plain = text.replace(/\s+/g, " ").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  return plain.split(/(`[^`]*`|\$[^$]*\$|\*[^*]+\*)/).map((part) => {
    if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    if (part.startsWith("$")) return el("span", { class: "formula" }, formula(part.slice(1, -1)));
    if (/^\*[^*]+\*$/.test(part)) return el("em", {}, part.slice(1, -1));
    return part;
  });
}

const SYMBOLS = {
  odot: "⊙", sigma: "σ", tanh: "tanh", ln: "ln", top: "⊤", partial: "∂", sum: "Σ", cdot: "·", uparrow: "↑",
  rightarrow: "→", ell: "ℓ", qquad: "   ", quad: "  ", Longrightarrow: "⟹", alpha: "α", beta: "β", theta: "θ", lambda: "λ",
  varepsilon: "ε", leftarrow: "←", dots: "…", max: "max", min: "min", lVert: "‖", rVert: "‖",
  left: "", right: "", ";": " ", ",": " ", "\\": "\n", times: "×", leq: "≤", in: "∈",
};

/** The few commands of TeX that the document uses, as text with indices above and below. */
function formula(tex) {
  const tokens = tex.trim().match(/\\[a-zA-Z]+|\\.|[{}_^&]|\s+|[^\\{}_^&\s]/g) ?? [];
  let at = 0;
  const group = () => {
    while (/^\s/.test(tokens[at])) at++;
    if (tokens[at] !== "{") return one();
    at++;
    const inside = [];
    while (at < tokens.length && tokens[at] !== "}") inside.push(...one());
    at++;
    return inside;
  };
  const one = () => {
    const token = tokens[at++];
    if (token === "{") { at--; return group(); }
    if (token === "_") return [el("sub", {}, group())];
    if (token === "^") return [el("sup", {}, group())];
    if (token === "&" || token === undefined) return [];
    if (/^\s/.test(token)) return [" "];
    if (!token.startsWith("\\")) return [token === "-" ? "−" : token];
    const name = token.slice(1);
    if (name === "frac") {
      const [above, below] = [group(), group()];
      return [el("span", { class: "fraction" }, el("span", {}, above), el("span", {}, below))];
    }
    if (name === "begin" || name === "end") { group(); return []; }
    if (name === "hat") {
      return [`${group().join("")}\u0302`];
    }
    if (name === "sqrt") return ["√(", ...group(), ")"];
    if (name === "text") return [el("span", { class: "words" }, group())];
    return [SYMBOLS[name] ?? name];
  };
  const all = [];
  while (at < tokens.length) all.push(...one());
  return all;
}
