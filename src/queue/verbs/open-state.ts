import type { OpenSubmission } from '../../scheduler/types.ts';

export type OpenState = 'waiting' | 'running' | 'paused' | 'delayed' | 'ending';

/**
 * The state of an open submission, as lists show it and as verbs find it: both must mean the same ones.
 *
 * @param isQueuePaused its queue, or the server: it is paused as well then
 */
export function openStateOf(
  { state, control, isWithheld, chunksReserved }: OpenSubmission,
  isQueuePaused: boolean,
): OpenState {
  if (state !== 'open') return 'ending';
  if (isQueuePaused || control.pauses.length > 0) return 'paused';
  if (isWithheld) return 'delayed';
  return chunksReserved > 0 ? 'running' : 'waiting';
}
