// The networks that can be chosen.

/** Each run's best, then its checkpoints, the newest first, as pairs of name and label. */
export function networkOptions(runs) {
  return runs.flatMap(({ name, steps }, run) => [
    [String(run), steps.length ? `${name}: best` : name],
    ...steps.toReversed().map((step) => [`${run}:${step}`, `${name}: step ${step}`]),
  ]);
}
