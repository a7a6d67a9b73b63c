import type { StoreErrorClass } from '../../errors.ts';
import type { Database } from '../database.ts';
import type { DatabaseLocation } from '../file/location.ts';

/** What the two threads say to each other. */
export type DatabaseMethod =
  | 'acquire'
  | 'load'
  | 'commit'
  | 'lastSeq'
  | 'scopeControls'
  | 'findById'
  | 'idsByPrefix'
  | 'directContents'
  | 'countEnded'
  | 'endedQueues'
  | 'ended'
  | 'chunksDone'
  | 'failedChunks'
  | 'due'
  | 'forget'
  | 'sweep'
  | 'sizeBytes'
  | 'walBytes'
  | 'check'
  | 'checkpoint'
  | 'backup'
  | 'close';

export type DatabaseArguments<M extends DatabaseMethod> = Parameters<Database[M]>;
export type DatabaseResult<M extends DatabaseMethod> = Awaited<ReturnType<Database[M]>>;

/** Where the store sends its calls: to the database's thread. */
export interface DatabaseCalls {
  /** @throws StoreError of the call; one of class `transient` when nobody answers any more */
  call<M extends DatabaseMethod>(
    method: M,
    args: DatabaseArguments<M>,
    transfer?: readonly ArrayBuffer[],
  ): Promise<DatabaseResult<M>>;
  close(graceMs?: number): Promise<void>;
  /** Nobody answers any more. */
  readonly isGone: boolean;
  /** Fires when the thread ends other than by `close`, or says that what is stored cannot be trusted. */
  readonly lost: AbortSignal;
}

export interface ThreadOptions {
  readonly location: DatabaseLocation;
  readonly nowMs: number;
}

export interface ThreadRequest {
  readonly number: number;
  readonly method: DatabaseMethod;
  readonly arguments: readonly unknown[];
}

/** An error object would cross as a plain Error. */
export interface ThreadError {
  readonly storeClass: StoreErrorClass;
  readonly message: string;
}

/** The first one, number 0, says whether the database is open; its value is an `ImportReport` or null. */
export type ThreadResponse =
  | { readonly number: number; readonly value: unknown }
  | { readonly number: number; readonly error: ThreadError };
