/** What passes between the calling thread and the threads that run a module's callback. */
import type { MessagePort } from 'node:worker_threads';
import type { SubmissionInfo } from '../../model/submission.ts';
import type { NamedCodec } from '../../protocol/chunk/codec-options.ts';
import type { NetworkDefaults } from '../../system/process/network-defaults.ts';
import type { Verdict } from '../run/verdict.ts';

/** What the callback is given: one operation, the operations of a chunk, or its bytes. */
export type CallbackShape = 'op' | 'chunk' | 'raw';

/** What every thread of a pool is started with. */
export interface PoolThreadData {
  readonly setup: PoolSetup;
  readonly network: NetworkDefaults;
}

export interface PoolSetup {
  readonly moduleUrl: string;
  readonly shape: CallbackShape;
  /** null: the contract's, an object that cannot be given to another thread. */
  readonly codec: 'cbor' | 'json' | 'raw' | NamedCodec | null;
  /** The contract has what cannot be given to another thread: the module exports it. */
  readonly needsContract: boolean;
  readonly isRecording: boolean;
  /** Operations in progress at once in each thread; null: the operations of its one chunk run one after the other. */
  readonly opConcurrency: number | null;
  readonly callbackMsMax: number;
}

export interface PoolTask {
  readonly input: Uint8Array;
  readonly submission: SubmissionInfo;
  readonly submissionId: string;
  readonly chunkIndex: number;
  readonly retries: number;
  /** A message on it means that the result is not wanted any more; it is the ChunkDropReason. */
  readonly port: MessagePort;
  /** Shared memory: a counter that changes while the thread is not stuck in a callback, and the thread's id. */
  readonly pulse: Int32Array;
}

/** An error as text: the object itself would lose its class and its fields on the way. */
export interface PoolFailure {
  readonly message: string;
  readonly stack: string;
  readonly verdict: Verdict | null;
}

/** Operations that failed and whose errors are among the results: how many, and the last error. */
export interface PoolRecorded {
  readonly operations: number;
  readonly error: string;
}

export type PoolAnswer =
  | { readonly output: Uint8Array; readonly recorded: PoolRecorded | null }
  | { readonly failure: PoolFailure };
