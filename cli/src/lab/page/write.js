// Write: the network writes, character by character; any of them can be replaced by another that was possible.

import { ask, asking, brief, button, el, field, latest, number, put, say, shown, visible } from "./dom.js";
import { passage } from "./passage.js";
import { set, state } from "./state.js";

/** How long one question may take: as many characters are written at once. */
const PACE = 80;
/** Characters that are written before it stops by itself. */
const MOST = 1000;

export function createWrite(root) {
  const range = (id, key, min, max, step) => {
    const control = el("input", { type: "range", id, min, max, step });
    control.addEventListener("input", () => set({ [key]: Number(control.value) }));
    return control;
  };
  const context = { written: [], at: null, running: null, adding: Promise.resolve(), key: "", network: "0", pace: 1 };
  const parts = {
    temperature: range("temperature", "temperature", 0, 2, 0.05),
    topn: range("topn", "topn", 0, 50, 1),
    topp: range("topp", "topp", 0.05, 1, 0.05),
    seed: number((seed) => restart(context, { seed }), { id: "seed", min: 0, max: Number.MAX_SAFE_INTEGER }),
    values: Object.fromEntries(["temperature", "topn", "topp"].map((key) => [key, el("output", { for: key })])),
    go: button("Write", () => (context.running ? stop(context) : run(context).catch(say)), { id: "go" }),
    text: passage("The text", (place) => choose(context, place)),
    what: el("p", { id: "write-what", role: "status", "aria-live": "polite" }),
    bars: el("ol", { id: "bars", "aria-label": "What may come next; click one to take it" }),
  };
  context.parts = parts;
  const slider = (title, key) => field(title, el("span", { class: "slider" }, parts[key], parts.values[key]));
  root.append(
    el("p", { class: "note" }, "The network reads the text above and goes on. Click a character that it wrote to see what else was likely " +
      "there; click one of those to go on from it."),
    el("div", { class: "bar" }, parts.go,
      button("One more", () => more(context, 1).catch(say), { id: "one-more" }),
      button("Start over", () => restart(context, {}), { id: "restart" }),
      field("seed", parts.seed), button("New seed", () => restart(context, { seed: newSeed() }), { id: "new-seed" })),
    el("div", { class: "bar" }, slider("temperature", "temperature"), slider("top n", "topn"), slider("top p", "topp")),
    el("div", { class: "columns" },
      el("section", { "aria-label": "The text" }, parts.text.root),
      el("section", { "aria-label": "The next character" }, parts.what, parts.bars)));
  return () => update(context);
}

const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** What fixes a text: with another of these it begins again. */
const keyOf = () => JSON.stringify([state.net, state.text, state.seed]);

async function update(context) {
  const { parts } = context;
  for (const key of ["temperature", "topn", "topp"]) {
    put(parts[key], state[key]);
    parts.values[key].textContent = key === "topn" && state.topn === 0 ? "all" : state[key];
  }
  put(parts.seed, state.seed);
  if (context.key !== keyOf()) {
    stop(context);
    const key = keyOf();
    Object.assign(context, { key, network: state.net, written: [], at: null });
    const wanted = Math.min(state.written, MOST);
    while (context.key === key && context.written.length < wanted) {
      await add(context, Math.min(100, wanted - context.written.length));
    }
  }
  await look(context);
}

function restart(context, changes) {
  stop(context);
  context.key = "";
  set({ written: 0, ...changes });
}

const question = ({ network }, text, count, drawn) => ({
  network, text, count, drawn, temperature: state.temperature, top_n: state.topn, top_p: state.topp, seed: state.seed,
});

const wholeText = ({ written }) => state.text + written.map(({ character }) => character).join("");

/** Writes `count` characters more, after those that are being written. */
function add(context, count) {
  const { key } = context;
  context.adding = context.adding.catch(() => {}).then(async () => {
    if (key !== context.key) return;
    const answer = await ask("write", question(context, wholeText(context), count, context.written.length));
    if (key !== context.key) return;
    context.network = answer.network; // the best may be another by now
    [...answer.written].forEach((character, n) => context.written.push({ character, probability: answer.probabilities[n] }));
  });
  return context.adding;
}

async function more(context, count) {
  context.at = null;
  await add(context, count);
  set({ written: context.written.length });
}

/** Goes on until it is stopped, some characters at a time. */
async function run(context) {
  const own = {};
  context.running = own;
  context.parts.go.textContent = "Stop";
  const end = context.written.length + MOST;
  try {
    while (context.running === own && state.tab === "write" && context.written.length < end) {
      const start = performance.now();
      await more(context, context.pace);
      const each = (performance.now() - start) / context.pace;
      context.pace = Math.max(1, Math.min(20, Math.round(PACE / Math.max(each, 1))));
    }
  } finally {
    if (context.running === own) stop(context);
  }
}

function stop(context) {
  context.running = null;
  context.parts.go.textContent = "Write";
}

function choose(context, place) {
  stop(context);
  const at = place - [...state.text].length;
  context.at = at >= 0 && at < context.written.length ? at : null;
  look(context).catch(say);
}

const [only, candidatesOf] = [latest(), asking("write")];

/** The text, and what may come at the chosen place. */
async function look(context) {
  const { parts, written, at } = context;
  const start = [...state.text];
  const all = start.concat(written.map(({ character }) => character));
  const chosen = at === null ? all.length : start.length + at;
  parts.text.draw(all, (n) => {
    const own = written[n - start.length];
    return own
      ? { name: `written${n === chosen ? " at" : ""}`, share: (1 - own.probability) * 0.6, title: `p = ${brief(own.probability)}` }
      : { name: "given" };
  }, Math.min(chosen, all.length - 1));
  const text = all.slice(0, chosen).join("");
  const answer = await only(candidatesOf(question(context, text, 0, 0)));
  if (answer) showBars(context, answer, text, all[chosen]);
}

function showBars({ parts, at }, { next, more }, text, taken) {
  const end = visible([...text].at(-1));
  parts.what.textContent = at === null ? `Candidates after ${end}:` : `After ${end} came ${visible(taken)}; the candidates were:`;
  const largest = next[0].probability;
  const hadFocus = parts.bars.contains(document.activeElement);
  parts.bars.replaceChildren(...next.map((candidate) => {
    const { character, probability, drawn } = candidate;
    const take = () => set({ text: text + character, written: 0 }, true);
    return el("li", {}, button([
      el("b", {}, visible(character)),
      el("span", { class: "bar-of", "--share": `${(100 * probability) / largest}%` }),
      shown(probability, "probability"),
      el("span", { class: "drawn" }, drawn > 0 ? `drawn with p = ${brief(drawn)}` : "never drawn"),
    ], take, { class: `candidate${character === taken ? " taken" : ""}`, "aria-label": `${visible(character)}, probability ${brief(probability)}: go on with it` }));
  }));
  if (hadFocus) parts.bars.querySelector("button").focus();
  if (more > 0) parts.bars.append(el("li", { class: "note" }, `and ${more} more`));
}
