import type { PausedBy } from './control.ts';

/** Why nothing of a queue is handed out. */
export interface QueuePause extends PausedBy {
  /** What is paused: the queue itself, or the whole server. */
  readonly of: 'queue' | 'server';
}

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
  readonly pauses: readonly QueuePause[];
  /** Consumers that are connected. */
  readonly consumers: number;
}

/** The queues that are in use, and what is not known of them because their nodes did not say. */
export interface QueuesInUse {
  /** By name; the unnamed one, '', always. */
  readonly queues: readonly QueueInfo[];
  /** Addresses of nodes that did not answer: their queues are not among them. Where there is one node, and if all did, none. */
  readonly nodesMissing: readonly string[];
  /** How many of the 64 shards are open on no node, so that their queues are not among them either. */
  readonly shardsMissing: number;
}
