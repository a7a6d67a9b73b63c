import { SubmissionConflictError } from '../../../model/errors.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import type { StatusRecord } from '../../../model/submission.ts';
import { messageOf } from '../../../model/thrown.ts';
import type { ChunkCompression } from '../../../protocol/chunk/compression.ts';
import { linkedSignal, orAborted } from '../../../system/async/abort-signals.ts';
import type { CallTransferLimits, ClientContext } from '../../context.ts';
import type { QueueApi } from '../../queue-api.ts';
import type { SubmissionTracing } from '../../tracing.ts';
import type { ChunkSink } from '../chunking.ts';
import { Uploader } from '../upload.ts';
import { digestOf, sameBytes } from './digest-block.ts';
import { RunDigests } from './digests.ts';
import { RunGuard } from './run-guard.ts';
import { StoredChunks } from './stored-chunks.ts';

/** What an upload that failed leaves in order may not hold up the error for longer, in milliseconds. */
const GIVE_UP_MS_MAX = 10_000;

/** One insert of a named run under way. */
export interface RunInsert {
  readonly context: ClientContext;
  readonly name: string;
  readonly cargo: {
    readonly chunkSizeOps: number | null;
    readonly metadata: Uint8Array | null;
    readonly limits: CallTransferLimits;
    readonly compression: ChunkCompression | null;
  };
  readonly tracing: SubmissionTracing;
  readonly signal: AbortSignal;
  /** Reads the source. Returns the number of operations, if that is known. */
  feed(to: { add: ChunkSink }, signal: AbortSignal): Promise<number | null>;
  /** Inserts the submission of so many chunks. */
  send(chunksTotal: number): Promise<SubmissionId>;
}

/** A submission that is on the queue, or that the queue has forgotten and whose results are all there. */
export interface InsertedRun {
  readonly id: SubmissionId;
  readonly prefix: string;
  readonly chunksTotal: number;
  readonly chunkSizeOps: number;
  readonly opsTotal: number | null;
  readonly isForgotten: boolean;
}

/**
 * Attaches to the submission of that name, if the queue has one, else uploads what is missing of it and inserts it. Either
 * way the whole source is read, and compared with what was uploaded before. Whatever goes wrong, all stays as it is, for
 * the next attempt.
 *
 * @throws SourceChangedError, SubmissionConflictError
 */
export async function insertRun(o: RunInsert): Promise<InsertedRun> {
  const { context, name, signal } = o;
  const store = context.requireStore();
  await orAborted(store.open(), signal);
  const chunkSizeOps = o.cargo.chunkSizeOps ?? 1;
  const digests = new RunDigests({ store, name, chunkSizeOps, clock: context.clock });
  const known = await submissionOfRun(context.api, name, signal);
  if (known !== null) refuseOther(known, o);
  // In this order: what was touched is safe from garbage collectors, and stays.
  if (known === null) await digests.touch(await digests.block(0, signal), signal);
  const stored = known === null ? await StoredChunks.list(store, name, signal) : null;
  const guard = new RunGuard({ store, name, digests, stored, chunksTotal: known?.chunksTotal ?? null });
  const { chunksTotal, opsTotal } = await upload(o, guard);
  const last = await digests.block(Math.max(0, chunksTotal - 1), signal);
  const run = { prefix: name, chunksTotal, chunkSizeOps, opsTotal };
  const metadata = o.cargo.metadata === null ? null : digestOf(o.cargo.metadata);
  if (stored !== null) {
    if (last.submitted !== null && chunksTotal > 0 && stored.outputs === chunksTotal) {
      if (!sameBytes(last.submitted.metadata, metadata)) throw conflict(name, 'metadata');
      return { ...run, id: BigInt(last.submitted.id), isForgotten: true };
    }
  }
  const id = known?.id ?? (await o.send(chunksTotal));
  if (last.submitted?.id !== String(id)) {
    try {
      await digests.submitted(last, { id: String(id), chunksTotal, metadata }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      // It is on the queue: the next run of that name finds it there.
      context.logger.warn({ name, error: messageOf(error) }, 'could not write the digests of a named run');
    }
  }
  return { ...run, id, isForgotten: false };
}

/** Reads the source to its end: all its chunks are in the object store then. */
async function upload(
  o: RunInsert,
  guard: RunGuard,
): Promise<{ readonly chunksTotal: number; readonly opsTotal: number | null }> {
  const { context, cargo } = o;
  const uploader = new Uploader({
    store: context.requireStore(),
    prefix: o.name,
    ...cargo.limits,
    compression: cargo.compression,
    guard,
    signal: o.signal,
    clock: context.clock,
    tracing: o.tracing,
  });
  try {
    const opsTotal = await o.feed(uploader, uploader.signal);
    const chunksTotal = await uploader.finish();
    await guard.finish(chunksTotal, o.signal);
    return { chunksTotal, opsTotal };
  } catch (error) {
    await uploader.stop();
    using limit = linkedSignal();
    const timer = context.clock.after(GIVE_UP_MS_MAX, () => limit.abort(new Error('took too long')));
    await guard.giveUp(limit.signal).catch(() => {});
    timer.cancel();
    throw error;
  }
}

/**
 * What the queue knows of the submission of that name; null if it does not know one.
 *
 * @throws SubmissionConflictError if another queue of the server has it
 */
export async function submissionOfRun(
  api: QueueApi,
  name: string,
  signal: AbortSignal,
): Promise<StatusRecord | null> {
  const isKnown = (await api.supports('known', signal)) ? (await api.known([name], signal))[0] : true;
  if (!isKnown) return null;
  const id = await api.findByPrefix(name, signal);
  if (id !== null) return (await api.status(id, {}, signal))?.record ?? null;
  if (api.announces('known')) throw conflict(name, 'queue');
  return null;
}

/** What must not differ, besides the source: the rest is as the first producer had it. */
function refuseOther(known: StatusRecord, { name, cargo }: RunInsert): void {
  // 0: not known either.
  if ((known.chunkSizeOps || null) !== null && known.chunkSizeOps !== (cargo.chunkSizeOps ?? 1))
    throw conflict(name, 'chunk_size');
  if (!sameBytes(known.metadata, cargo.metadata)) throw conflict(name, 'metadata');
}

function conflict(name: string, field: 'queue' | 'chunk_size' | 'metadata'): SubmissionConflictError {
  return new SubmissionConflictError(
    field,
    `run ${JSON.stringify(name)} was submitted before, with another ${field}`,
  );
}
