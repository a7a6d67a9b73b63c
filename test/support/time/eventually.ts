/** Longest wait before the next look. */
const LOOK_MS_MAX = 20;

/**
 * Waits until the condition holds; fails after `withinMs`, naming it. It looks again in the next turn of the event loop at
 * first, and less often the longer it takes (by a twentieth of the time): looking at other processes takes time of theirs.
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const startMs = performance.now();
  while (!(await condition())) {
    const tookMs = performance.now() - startMs;
    if (tookMs > withinMs) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_MS_MAX, tookMs / 20)));
  }
}
