/** What there is to divide, and among how many. */
export interface Work {
  readonly chunksAvailable: number;
  readonly chunksReserved: number;
  /** Connected consumers that have asked for chunks. */
  readonly askers: number;
}

/**
 * How many chunks an answer may take while few are available, whatever was asked for: no more than an equal part of what
 * is available, and none that would lift what the consumer holds above an equal part of all that is left. Without this
 * the first one to ask takes the last sixty chunks, and the others stand idle while it works on them. At least 1, so that
 * nobody waits for what is there.
 *
 * Both parts are needed: what is available alone would give most to whoever asks most often; what is left counts chunks
 * that others work on, and would give a newcomer all that is available.
 */
export function shareOf({ chunksAvailable, chunksReserved, askers }: Work, held: number): number {
  if (askers <= 1) return Number.POSITIVE_INFINITY;
  const ofAvailable = Math.ceil(chunksAvailable / askers);
  const ofAllLeft = Math.ceil((chunksAvailable + chunksReserved) / askers) - held;
  return Math.max(1, Math.min(ofAvailable, ofAllLeft));
}
