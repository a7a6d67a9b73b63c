import type { PausedBy } from './control.ts';

/** A queue that is in use: somebody is connected to it, or a submission of it is in progress. The unnamed one always is, and one that is paused is
 * listed with them. */
export interface QueueInfo {
  /** '' for the unnamed one. */
  readonly name: string;
  /** Submissions in progress. */
  readonly submissionsOpen: number;
  /** Chunks that could be handed out; none of a queue that is paused. */
  readonly chunksWaiting: number;
  /** Chunks that consumers have reserved. */
  readonly chunksReserved: number;
  /** Chunks that wait for their next try. */
  readonly chunksDelayed: number;
  /** Chunks that are not handed out because the submission, the queue or the server is paused, or because the submission is not to be started yet. */
  readonly chunksPaused: number;
  /** Nothing of the queue is handed out while there is one: its own pauses, then the server's. */
  readonly pauses: readonly PausedBy[];
  /** Consumers that are connected. */
  readonly consumers: number;
}
