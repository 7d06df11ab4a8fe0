/** What ends a run early, and what must not. */

// A reader that went away (`| head`) must not end a run.
process.stdout.on("error", () => {});

const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
/** What the first signal calls: of a gate, and of the run that it is at. */
const stops = new Set<() => void>();
let asked = false;

/**
 * Ctrl-C and SIGTERM: the first calls `stop`, so that what happened so far is checked and reported; a second one ends
 * acked at once (the supervisor's exit hook still kills every child). Returns what undoes it.
 *
 * May be nested: one signal stops all, and what begins after it, before the outermost is undone, is stopped at once.
 */
export function onInterruption(stop: () => void): () => void {
  // A function of its own, since the same may be given twice.
  const mine = () => stop();
  if (stops.size === 0) for (const signal of signals) process.on(signal, onSignal);
  stops.add(mine);
  if (asked) mine();
  return () => {
    if (!stops.delete(mine) || stops.size > 0) return;
    asked = false;
    for (const signal of signals) process.off(signal, onSignal);
  };
}

function onSignal(signal: NodeJS.Signals): void {
  if (asked) process.exit(signal === "SIGINT" ? 130 : 143);
  asked = true;
  process.stderr.write("\nstopping: checking what happened so far (once more to stop at once)\n");
  for (const stop of stops) stop();
}
