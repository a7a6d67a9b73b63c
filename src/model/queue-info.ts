/** A queue that is in use: somebody is connected to it, or a submission of it is in progress. The unnamed one always is. */
export interface QueueInfo {
  /** '' for the unnamed one. */
  readonly name: string;
  /** Submissions in progress. */
  readonly submissionsOpen: number;
  /** Chunks that could be handed out. */
  readonly chunksWaiting: number;
  /** Chunks that consumers have reserved. */
  readonly chunksReserved: number;
  /** Chunks that wait for their next try. */
  readonly chunksDelayed: number;
  /** Consumers that are connected. */
  readonly consumers: number;
}
