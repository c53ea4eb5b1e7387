// The page: which part is shown, of which network and text.

import { createCells } from "./cells.js";
import { createDerivation } from "./derivation.js";
import { el, get, printable, put, say, setOptions } from "./dom.js";
import { listNetworks } from "./networks.js";
import { createNudge } from "./nudge.js";
import { createReach } from "./reach.js";
import { set, startWith, state, watch } from "./state.js";
import { createStep } from "./step.js";
import { createWatch } from "./watch.js";
import { createWrite } from "./write.js";

const PARTS = [
  ["step", "Step", createStep], ["nudge", "Nudge", createNudge], ["reach", "Reach", createReach],
  ["write", "Write", createWrite], ["cells", "Cells", createCells], ["watch", "Watch", createWatch],
];
/** Characters of a passage that is looked at to begin with. */
const START = 64;

const at = (id) => document.getElementById(id);
/** Answers that are waited for, and the number of the last question. */
let [pending, newest] = [0, 0];

start().catch(say);

async function start() {
  const lab = await get("lab");
  setUpSource(lab);
  const derivation = createDerivation();
  const parts = new Map(PARTS.map(([name, title, create]) => [name, setUpPart(name, title, (panel) => create(panel, derivation, lab))]));
  const show = () => {
    const name = parts.has(state.tab) ? state.tab : "step";
    for (const [other, { tab, panel }] of parts) {
      tab.setAttribute("aria-selected", String(other === name));
      tab.tabIndex = other === name ? 0 : -1;
      panel.hidden = other !== name;
    }
    at("source").hidden = name === "watch";
    showSource();
    document.body.classList.toggle("busy", ++pending > 0);
    const own = ++newest;
    // What comes late has nothing to say of what is shown now.
    const unlessLate = (tell) => (outcome) => own === newest && tell(outcome);
    parts.get(name).update().then(unlessLate(clear), unlessLate(say))
      .finally(() => document.body.classList.toggle("busy", --pending > 0));
  };
  watch(show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  startWith([...(lab.excerpts[1] ?? lab.excerpts[0] ?? "to be")].slice(0, START).join(""));
}

function setUpPart(name, title, create) {
  const tab = el("button", {
    type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`,
    onclick: () => set({ tab: name }, true), onkeydown: moveBetweenTabs,
  }, title);
  const panel = el("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true });
  at("tabs").append(tab);
  at("panels").append(panel);
  return { tab, panel, update: create(panel) };
}

function moveBetweenTabs(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const tabs = [...at("tabs").children];
  const next = tabs[(tabs.indexOf(event.currentTarget) + by + tabs.length) % tabs.length];
  next.focus();
  next.click();
}

function setUpSource({ runs, excerpts }) {
  const network = at("network");
  listNetworks(network, "net", runs);
  network.addEventListener("change", () => set({ net: network.value }));
  const excerpt = at("excerpt");
  const titles = excerpts.map((text, n) => [n, [...printable(text.replace(/\s+/g, " "))].slice(0, 40).join("") + "…"]);
  setOptions(excerpt, [["", "choose …"], ...titles]);
  at("excerpt-field").hidden = excerpts.length === 0;
  excerpt.addEventListener("change", () => {
    if (excerpt.value !== "") set({ ...START_OF_TEXT, text: excerpts[excerpt.value] });
    excerpt.value = "";
  });
  const input = at("input");
  let pause = 0;
  input.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => input.value !== state.text && set({ ...START_OF_TEXT, text: input.value }), 300);
  });
  at("source").addEventListener("submit", (event) => event.preventDefault());
}

const START_OF_TEXT = { at: -1, from: 0, to: 0, written: 0 };

function showSource() {
  put(at("network"), state.net);
  put(at("input"), state.text);
}

function clear() {
  at("message").hidden = true;
}
