// The networks that can be chosen.

import { get, setOptions } from "./dom.js";
import { state } from "./state.js";

/**
 * Lists them in `control`, and again whenever somebody comes to it: a run that goes on has new checkpoints. Where the
 * choice, `state[key]`, is gone, none is shown as chosen, so that any can be.
 */
export function listNetworks(control, key, runs, others = []) {
  const list = (runs) => {
    setOptions(control, [...others, ...networkOptions(runs)]);
    control.value = state[key];
  };
  const again = () => get("lab").then(({ runs }) => list(runs), () => {});
  control.addEventListener("pointerenter", again);
  control.addEventListener("focus", again);
  list(runs);
}

/** Each run's best, then its checkpoints, the newest first, as pairs of name and label. */
function networkOptions(runs) {
  return runs.flatMap(({ name, steps }, run) => [
    [String(run), steps.length ? `${name}: best` : name],
    ...steps.toReversed().map((step) => [`${run}:${step}`, `${name}: step ${step}`]),
  ]);
}
