/** What passes between the calling thread and the transport thread. Both ways it goes in batches, one per turn. */
import type { ChunkId } from '../../model/ids.ts';
import type { Strategy } from '../../model/strategy.ts';
import type { SubmissionFacts } from '../../model/submission.ts';
import type { QueueRoute } from '../../net/address/queue-route.ts';
import type { ObjectStoreOptions } from '../../objects/object-store.ts';
import type { ChunkCompression } from '../../protocol/chunk/compression.ts';
import type { NetworkDefaults } from '../../system/process/network-defaults.ts';

/** What the transport thread is started with. */
export interface ThreadData {
  readonly setup: TransportSetup;
  readonly network: NetworkDefaults;
}

/** What a transport is started with. */
export interface TransportSetup {
  readonly queueUrl: string;
  readonly queueRoute: QueueRoute;
  /** null: the calling thread reads and writes the bodies. */
  readonly objectStore: { readonly url: string; readonly options: ObjectStoreOptions } | null;
  readonly frameBytesMax: number;
  readonly transferLimits: TransferLimits;
  /** Handles of chunks are above it: a thread that replaces a crashed one must not use its handles again. */
  readonly handleBase: number;
  /** Shared memory, a counter: it changes while the calling thread is not stuck in a callback. */
  readonly pulse: Int32Array;
}

export interface TransferLimits {
  /** Reads, and as many writes, that are under way at once. */
  readonly transfersMax: number;
  /** How long each may take, in milliseconds. */
  readonly transferMsMax: number;
}

/** Names a chunk that the transport thread holds; never used twice, also not by a thread that replaces a crashed one. */
export type Handle = number;

/** How many chunks a run works on and reserves ahead. */
export interface RunDemand {
  readonly strategy: Strategy;
  /** Chunks that are computed at once. */
  readonly concurrency: number;
  /** Chunks reserved and downloaded ahead; `auto`: as many as the callback's pace asks for. */
  readonly prefetch: number | 'auto';
  /** Bytes of bodies, inputs and results, that the run may hold before it downloads more. */
  readonly memoryBytesMax: number;
  readonly compression: ChunkCompression | null;
  /** How long one call of the callback may take, in milliseconds; Infinity: no limit. */
  readonly callbackMsMax: number;
  /** null: the operations of a chunk run one after the other, or they are the callback's to look after. */
  readonly ops: OpsDemand | null;
}

/** Operations that run at once, over all chunks of a run. */
export interface OpsDemand {
  readonly atOnce: number;
  /** Chunks that begin while the last operations of those before are still in progress. */
  readonly overlap: number;
}

/** With as many operations in open chunks, no further chunk is begun. */
export function opsOpenMax({ atOnce, overlap }: OpsDemand, opsPerChunk: number): number {
  return atOnce + overlap * opsPerChunk;
}

/** The operations of a chunk; the last one of a submission may have fewer. */
export function opsOf({ chunkSizeOps }: SubmissionFacts): number {
  return Math.max(chunkSizeOps, 1);
}

/** Starts a feed, which wants chunks: a run, or a call of `reserveChunks`. */
export type FeedStart =
  /** Reserves chunks again and again. */
  | { readonly kind: 'run'; readonly feed: number; readonly demand: RunDemand }
  /** Reserves chunks once. */
  | { readonly kind: 'reserve'; readonly feed: number; readonly max: number; readonly strategy: Strategy };

export type Command =
  | FeedStart
  /** Reserve no more; what was not handed over goes back. Answered by `feed_ended` when its results are out. */
  | { readonly kind: 'stop'; readonly feed: number }
  /** While it is paused, a feed reserves nothing; what was not handed over goes back. */
  | { readonly kind: 'pause'; readonly feed: number; readonly isPaused: boolean }
  /** Uploads the result and reports it to the queue. */
  | { readonly kind: 'complete'; readonly result: ChunkResult }
  | { readonly kind: 'fail'; readonly failure: Failure }
  /** Gives chunks back, uncounted. */
  | { readonly kind: 'release'; readonly chunks: readonly ChunkName[] }
  /** The client stops: reports no longer wait for a connection. Answered by `unsent` where they did. */
  | { readonly kind: 'wait_no_more' }
  /** Ends the connection in good order, then the thread. */
  | { readonly kind: 'close' };

/** All but the last one. */
export type WorkCommand = Exclude<Command, { kind: 'close' }>;

export interface ChunkName {
  readonly chunk: ChunkId;
  /** null: a chunk is named that a caller of `reserveChunks` took, or that is not held here. */
  readonly handle: Handle | null;
}

/** A number under which `settled` or `unsent` answers. */
export interface Receipt {
  readonly id: number;
  /** Once the result is `uploaded`, or once it is `sent` to the queue, which waits for a connection. */
  readonly when: 'uploaded' | 'sent';
}

/** A result counts although its chunk is not held any more, if it comes without a handle. */
export interface ChunkResult extends ChunkName {
  /** null: the body goes to the queue. */
  readonly prefix: string | null;
  /** null: it is in the object store already. */
  readonly body: Uint8Array | null;
  readonly compression: ChunkCompression | null;
  /** How long the callback took, in milliseconds; null if that does not predict the next ones. */
  readonly computeMs: number | null;
  readonly receipt: Receipt | null;
}

export interface Failure extends ChunkName {
  readonly failure: string;
  readonly retryable: boolean;
  readonly delayMs: number;
  readonly receipt: Receipt | null;
}

export interface HeldChunk {
  readonly handle: Handle;
  readonly chunk: ChunkId;
  readonly submission: SubmissionFacts;
  readonly retries: number;
  /** null where the calling thread reads it. */
  readonly input: Uint8Array | null;
  readonly download: TransferTimes | null;
}

/** When a transfer took place (Unix milliseconds). */
export interface TransferTimes {
  readonly startMs: number;
  readonly endMs: number;
}

/** Why a chunk is not held any more. */
export type LossReason =
  | 'expired'
  | 'completed_elsewhere'
  | 'submission_ended'
  | 'disconnected'
  | 'given_back';

export type TransportEvent =
  | { readonly kind: 'connected'; readonly serverVersion: string }
  | { readonly kind: 'disconnected'; readonly reason: string }
  | { readonly kind: 'ready'; readonly feed: number; readonly chunks: readonly HeldChunk[] }
  | { readonly kind: 'refused'; readonly feed: number; readonly reason: string }
  /** A chunk that was handed over to a run is not held any more. */
  | { readonly kind: 'lost'; readonly feed: number; readonly handle: Handle; readonly reason: LossReason }
  /** `error` says why the result was dropped. */
  | {
      readonly kind: 'settled';
      readonly receipt: number;
      readonly error: string | null;
      readonly upload: TransferTimes | null;
    }
  /** There is no connection to send it on, and it no longer waits for one. */
  | { readonly kind: 'unsent'; readonly receipt: number }
  /** Nothing of the feed is held any more but what callers of `reserveChunks` took. */
  | { readonly kind: 'feed_ended'; readonly feed: number }
  /** A feed has no chunk, and waits for the queue to have one; or not any more. */
  | { readonly kind: 'waiting'; readonly feed: number; readonly isWaiting: boolean }
  /** The body of a chunk could not be read, or that of its result not be written, so it failed. `hadResult`: of a run. */
  | {
      readonly kind: 'failed';
      readonly chunk: ChunkId;
      readonly failure: string;
      readonly hadResult: boolean;
    }
  /** Whether the calling thread is stuck in a callback: what it receives changes its pulse. */
  | { readonly kind: 'pulse' }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: object;
      readonly message: string;
    }
  /** The thread cannot work at all (because of a wrong object store option, for example). */
  | { readonly kind: 'fatal'; readonly code: string; readonly message: string };
