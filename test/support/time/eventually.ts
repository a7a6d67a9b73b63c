/** Longest wait before the next look at something that takes a while to look at. */
const LOOK_MS_MAX = 100;

/**
 * Waits until the condition holds; fails after `withinMs`, naming it. It looks again in the next turn of the event loop, but
 * at what is asked of others (a promise) less often the longer it takes, by a twentieth of the time: their answers take
 * processor time that what is waited for needs.
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const startMs = performance.now();
  for (;;) {
    const holds = condition();
    if (await holds) return;
    const tookMs = performance.now() - startMs;
    if (tookMs > withinMs) throw new Error(`not within ${withinMs} ms: ${condition}`);
    const waitMs = typeof holds === 'boolean' ? 1 : Math.min(LOOK_MS_MAX, tookMs / 20);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
