// Watch: runs as they come along, from what training writes into their folders.

import { chart, line } from "./chart.js";
import { ask, el, latest, printable, remembered, shown } from "./dom.js";
import { set, state } from "./state.js";

/** Milliseconds between two looks. */
const PAUSE = 2000;
/** Checkpoints of each run that write a sample. */
const GLANCES = 6;
/** A question that fails may cost as much as one that does not; it is asked again after a minute. */
const glance = remembered((question) => ask("glance", question), 1000, 60000);

export function createWatch(root, _, lab) {
  const boxes = lab.runs.map(({ name, is_folder }, run) => {
    const box = el("input", { type: "checkbox", id: `run-${run}`, disabled: !is_folder });
    box.addEventListener("change", () => set({ runs: chosen().join(",") || "none" }));
    return { box, label: el("label", { class: "field" }, box, el("span", {}, name)) };
  });
  const chosen = () => boxes.flatMap(({ box }, run) => (box.checked ? [run] : []));
  const parts = {
    table: el("table", { id: "progress" }), state: el("p", { id: "watch-state", role: "status" }),
    charts: el("div", { class: "columns" }), norms: el("div", { class: "columns" }),
    samples: el("div", { class: "samples" }), events: el("table", { id: "events" }),
  };
  const heading = (title) => el("h3", {}, title);
  root.append(
    el("div", { class: "bar", role: "group", "aria-label": "Runs" }, boxes.map(({ label }) => label)),
    el("div", { class: "scroll", tabindex: -1 }, parts.table), parts.state, parts.charts,
    el("section", {}, heading("Gradients by layer"), parts.norms),
    el("section", {}, heading("Samples"), parts.samples),
    el("section", {}, heading("Events"), el("div", { class: "scroll", tabindex: -1 }, parts.events)));
  const context = { parts, lab, timer: 0, only: latest() };
  return async () => {
    const folders = lab.runs.flatMap(({ is_folder }, run) => (is_folder ? [run] : []));
    const wanted = state.runs === "" ? folders : state.runs.split(",").map(Number).filter((run) => folders.includes(run));
    boxes.forEach(({ box }, run) => { box.checked = wanted.includes(run); });
    await look(context, wanted);
  };
}

async function look(context, runs) {
  clearTimeout(context.timer);
  if (runs.length === 0) {
    context.parts.state.textContent = context.lab.runs.some(({ is_folder }) => is_folder)
      ? "No run is chosen." : "There is no run folder to watch; name one with --run.";
    return;
  }
  if (!document.hidden) {
    const answers = await context.only(ask("watch", { runs }).catch((error) => error));
    if (answers === false) return;
    if (answers instanceof Error) context.parts.state.textContent = answers.message;
    else show(context, runs, answers);
  }
  context.timer = setTimeout(() => state.tab === "watch" && look(context, runs), PAUSE);
}

function show(context, runs, answers) {
  const { parts } = context;
  parts.state.textContent = "";
  showProgress(parts.table, answers);
  const curves = (series, options) => chart(series, { x: "step", ...options });
  parts.charts.replaceChildren(
    curves(answers.flatMap(({ name, curves: { stretches, validation } }, n) => [
      { name: `${name}: training`, class: `${line(n)} thin`, points: stretches.map((s) => [s.step, s.loss]) },
      { name: `${name}: validation`, class: line(n), dots: true, points: validation },
    ]), { title: "Loss in nats per character" }),
    curves(answers.map(({ name, curves: { stretches } }, n) => (
      { name, class: line(n), points: stretches.map((s) => [s.step, s.norm]) }
    )), { title: "Norm of the gradient before clipping", logY: true }));
  showEvents(parts.events, answers);
  showGlances(context, runs, answers);
}

const TITLES = ["run", "state", "step", "of", "loss", "best validation", "characters/s", "time left"];

function showProgress(table, answers) {
  const row = ({ name, state, progress }) => el("tr", { "data-run": name },
    el("th", { scope: "row" }, name), el("td", { class: "state" }, state),
    ...(progress ? cells(progress) : TITLES.slice(2).map(() => el("td", {}, "–"))));
  const cells = (p) => [
    el("td", {}, shown(p.step, "step")), el("td", {}, p.last_step ?? "not known yet"), el("td", {}, shown(p.loss, "loss")),
    el("td", {}, p.best ? [shown(p.best[1], "best"), ` at ${p.best[0]}`] : "–"),
    el("td", {}, Math.round(p.characters_per_second).toLocaleString("en")), el("td", {}, p.seconds_left == null ? "–" : duration(p.seconds_left)),
  ];
  table.replaceChildren(el("thead", {}, el("tr", {}, TITLES.map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, answers.map(row)));
}

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.ceil(seconds)} s`;
}

function showEvents(table, answers) {
  const all = answers.flatMap(({ name, events }) => (events ?? []).map((event) => ({ name, ...event })));
  all.sort((a, b) => b.step - a.step);
  const rows = all.slice(0, 60).map(({ name, step, time, what }) => el("tr", {},
    el("td", {}, name), el("td", {}, step), el("td", {}, time ? new Date(time * 1000).toLocaleTimeString() : ""),
    el("td", { class: "text" }, what)));
  table.replaceChildren(el("thead", {}, el("tr", {}, ["run", "step", "time", "event"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, rows));
}

/** Some checkpoints, the first and the last among them. */
function evenly(steps, count) {
  if (steps.length <= count) return steps;
  return Array.from({ length: count }, (_, n) => steps[Math.round((n * (steps.length - 1)) / (count - 1))]);
}

/** Asks each checkpoint in turn what it writes; what is known already comes at once. */
async function showGlances(context, runs, answers) {
  const { parts } = context;
  // A run that is overwritten is another, whose checkpoints have the same steps.
  const wanted = runs.flatMap((run, n) => evenly(answers[n].checkpoints, GLANCES).map((step) => ({ run, step, of: answers[n].run, name: answers[n].name })));
  const key = JSON.stringify([state.text, wanted]);
  if (context.glances === key) return;
  context.glances = key;
  const seen = [];
  let failure = null;
  for (const { run, step, of, name } of wanted) {
    const found = await glance({ run, step, of, text: state.text }).catch((error) => { failure ??= error; });
    if (context.glances !== key) return;
    if (found) seen.push({ run, name, ...found });
    if (state.tab !== "watch") { context.glances = ""; return; }
    drawGlances(parts, seen, failure);
  }
  if (wanted.length === 0) drawGlances(parts, []);
  if (failure) context.glances = "";
}

/** What was seen, and before it why the rest is missing. */
function drawGlances(parts, seen, failure) {
  const runs = [...new Set(seen.map(({ run }) => run))]; // two may have the same name
  parts.norms.replaceChildren(...runs.map((run) => {
    const own = seen.filter((glance) => glance.run === run);
    const [{ name }] = own;
    const lines = own[0].norms.map(({ name: layer }, n) => ({
      name: layer, class: line(n), dots: true, points: own.map(({ step, norms }) => [step, norms[n].norm]),
    }));
    return chart(lines, { title: `${name}: norm of the gradient on the text, by layer`, x: "step", logY: true });
  }));
  const why = failure ? [el("p", {}, failure.message)] : [];
  parts.samples.replaceChildren(...why, ...seen.toReversed().map(({ name, step, text }) => el("figure", {},
    el("figcaption", {}, el("b", {}, `${name}, step ${step}`)), el("blockquote", { class: "sample" }, printable(text)))));
}
