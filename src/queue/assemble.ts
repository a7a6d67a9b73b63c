import type { SubmissionEndCause } from '../scheduler/effects.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Tenure } from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Random } from '../system/random.ts';
import type { Clock } from '../system/time/clock.ts';
import { Endings } from './endings.ts';
import { QueueEvents } from './events.ts';
import { InputCache } from './input-cache.ts';
import { Inserts } from './inserts.ts';
import { Congestion } from './journal/congestion.ts';
import { Journal } from './journal/journal.ts';
import { StoreWatch } from './journal/store-watch.ts';
import { LongChunks } from './long-chunks.ts';
import { LongPolls } from './long-polls.ts';
import { NamedQueue } from './named-queue.ts';
import { NamedQueues } from './named-queues.ts';
import { Reads } from './reads.ts';
import { Retention, type RetentionTimes } from './retention.ts';
import { QueueStats } from './stats/stats.ts';
import { Unattended } from './unattended.ts';
import { Retries } from './verbs/retries.ts';
import { Scopes } from './verbs/scopes.ts';
import { Verbs } from './verbs/verbs.ts';

export interface QueueOptions extends RetentionTimes {
  readonly store: Store;
  /** As whose owner the queue acts. Default: it takes the store, until another one does. */
  readonly tenure?: Tenure | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** A consumer that holds a chunk for longer loses it. */
  readonly reservationExpirationMs: number;
  /** Failures of a chunk that fail its submission. */
  readonly chunkRetriesMax: number;
  /** The same for consumers that disconnected; 0 = no limit. */
  readonly chunkDisconnectsMax: number;
  /** A broken connection does not count any more after this time. Default 1 hour. */
  readonly disconnectFadesAfterMs?: number | undefined;
  /** Look-ups by metadata that match more are refused. */
  readonly submissionsReturnedMax: number;
  /** No chunks are handed out after this time without a commit. Default 5000. */
  readonly holdHandOutAfterMs?: number | undefined;
  /**
   * Bytes that may wait for their commit; beyond, inserts are refused for the time being, and from a quarter of it on
   * no more is read of consumers that send outputs. Default 256 MiB.
   */
  readonly pendingBytesMax?: number | undefined;
  /** Inputs of small `Direct` submissions that are kept in memory. Default 64 MiB. */
  readonly inputCacheBytesMax?: number | undefined;
}

/** What the parts need of the queue that they are put together for. */
export interface QueueHooks {
  /** Neither stopped nor lost, and still the owner. */
  isReady(): boolean;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/** Of the bytes that may wait for their commit, one part in so many is left to outputs. */
const CONGESTED_SHARE = 4;

export type QueueParts = ReturnType<typeof assemble>;

/** Puts a queue together. Nothing of it runs yet. */
export function assemble(options: QueueOptions, tenure: Tenure, hooks: QueueHooks) {
  const { store, clock, random, logger, pendingBytesMax = 256 * 1024 * 1024 } = options;
  const { reservationExpirationMs, disconnectFadesAfterMs, submissionsReturnedMax } = options;
  const giveUp = (error: unknown) => hooks.giveUp(error);
  const stats = new QueueStats(clock);
  const journal = new Journal({
    store,
    tenure,
    clock,
    random,
    logger,
    committed: (seconds) => stats.committed(seconds),
  });
  journal.lost.addEventListener('abort', () => giveUp(journal.lost.reason), { once: true });
  const watch = new StoreWatch({
    journal,
    clock,
    logger,
    holdHandOutAfterMs: options.holdHandOutAfterMs ?? 5_000,
    hold: (held) => queues.holdHandOut(held),
  });
  const events = new QueueEvents(clock, stats);
  const longPolls = new LongPolls(clock, events);
  const longChunks = new LongChunks(logger);
  const inputs = new InputCache(options.inputCacheBytesMax ?? 64 * 1024 * 1024);
  const retention = new Retention({ ...options, store, clock, logger });
  const shared = { store, clock, logger, journal, events, inputs, giveUp };
  const own = {
    ...shared,
    stats,
    longChunks,
    congestion: new Congestion(journal, pendingBytesMax / CONGESTED_SHARE),
    reservationExpirationMs,
    scheduler: {
      random,
      reservationExpirationMs,
      chunkRetriesMax: options.chunkRetriesMax,
      chunkDisconnectsMax: options.chunkDisconnectsMax,
      ...(disconnectFadesAfterMs === undefined ? {} : { disconnectFadesAfterMs }),
    },
    isOpen: () => hooks.isReady(),
    ending: (submission: OpenSubmission, cause: SubmissionEndCause) => endings.ending(submission, cause),
    changed: (queue: NamedQueue) => queues.changed(queue),
  };
  const unattended = new Unattended({ clock, logger, queues: () => queues });
  const scopes = new Scopes();
  const queues: NamedQueues = new NamedQueues((name) => new NamedQueue(name, own), unattended, scopes);
  const reads = new Reads({ store, journal, queues, scopes, longPolls, retention, submissionsReturnedMax });
  const endings = new Endings({ ...shared, queues, reads });
  const inserts = new Inserts({
    ...shared,
    queues,
    shard: tenure.grant.shard,
    highestId: tenure.grant.highestId,
    pendingBytesMax,
    isOpen: () => hooks.isReady() && watch.isOk,
  });
  const retries = new Retries({
    ...shared,
    queues,
    endings,
    retention,
    isOpen: () => hooks.isReady() && watch.isOk,
  });
  const verbs = new Verbs({
    store,
    clock,
    logger,
    journal,
    events,
    queues,
    scopes,
    endings,
    retries,
    giveUp,
  });
  return {
    queues,
    scopes,
    verbs,
    inserts,
    retries,
    reads,
    endings,
    retention,
    stats,
    journal,
    events,
    longPolls,
    watch,
  };
}
