/** What ends a run early, and what must not. */

// A reader that went away (`| head`) must not end a run.
process.stdout.on("error", () => {});

/**
 * Ctrl-C and SIGTERM: the first calls `stop`, so that what happened so far is checked and reported; a second one ends
 * acked at once (the supervisor's exit hook still kills every child). Returns what undoes it.
 */
export function onInterruption(stop: () => void): () => void {
  let asked = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (asked) process.exit(signal === "SIGINT" ? 130 : 143);
    asked = true;
    process.stderr.write("\nstopping: checking what happened so far (once more to stop at once)\n");
    stop();
  };
  const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}
