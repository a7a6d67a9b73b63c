const waiting = new Set<() => void>();

/**
 * Runs it soon, in a task of its own: what many parts of the page do at the same time takes too long for one, and
 * the browser would answer nobody meanwhile.
 *
 * @returns takes it back
 */
export function inTurn(run: () => void): () => void {
  waiting.add(run);
  if (waiting.size === 1) setTimeout(next);
  return () => void waiting.delete(run);
}

function next(): void {
  for (const run of waiting) {
    waiting.delete(run);
    if (waiting.size > 0) setTimeout(next);
    run();
    return;
  }
}
