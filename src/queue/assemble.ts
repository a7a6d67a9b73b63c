import { SERVER_SCOPE } from '../model/control.ts';
import type { ShardId } from '../model/ids.ts';
import type { SubmissionEndCause } from '../scheduler/effects.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Tenure } from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Random } from '../system/random.ts';
import type { Clock } from '../system/time/clock.ts';
import { Endings } from './endings.ts';
import { QueueEvents } from './events.ts';
import { Inserts } from './inserts.ts';
import { Congestion } from './journal/congestion.ts';
import { RetryLog } from './journal/retry-log.ts';
import { LongPolls } from './long-polls.ts';
import { NamedQueue } from './named-queue.ts';
import { NamedQueues } from './named-queues.ts';
import type { ConsumerPeer } from './peer.ts';
import { Reads } from './reads.ts';
import { Retention, type RetentionTimes } from './retention.ts';
import { Shard } from './shard/shard.ts';
import { Shards } from './shard/shards.ts';
import { QueueStats } from './stats/stats.ts';
import { Unattended } from './unattended.ts';
import { Retries } from './verbs/retries.ts';
import { Scopes } from './verbs/scopes.ts';
import { Verbs } from './verbs/verbs.ts';

export interface QueueOptions extends RetentionTimes {
  readonly store: Store;
  /** Which shard a queue belongs to. Default: 0, all of them. */
  readonly shardOf?: ((queue: string) => ShardId) | undefined;
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
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
  /** What the journals can do is something else now. */
  healthChanged(): void;
}

/** Of the bytes that may wait for their commit, one part in so many is left to outputs. */
const CONGESTED_SHARE = 4;

export type QueueParts = ReturnType<typeof assemble>;

/** Puts a queue together, without a shard. Nothing of it runs yet. */
export function assemble(options: QueueOptions, hooks: QueueHooks) {
  const { store, clock, random, logger, pendingBytesMax = 256 * 1024 * 1024, shardOf = () => 0 } = options;
  const { reservationExpirationMs, disconnectFadesAfterMs, submissionsReturnedMax } = options;
  const giveUp = (error: unknown) => hooks.giveUp(error);
  const stats = new QueueStats(clock);
  const shards = new Shards(shardOf);
  const events = new QueueEvents(clock, stats);
  const longPolls = new LongPolls(clock, events);
  const retention = new Retention({
    ...options,
    store,
    shards: () => shards.ids,
    forgotten: (ids) => events.publish({ kind: 'submissions_forgotten', ids }, clock.monotonicMs()),
    clock,
    logger,
  });
  const shared = { store, clock, logger, shards, events, giveUp };
  const own = {
    ...shared,
    stats,
    congestion: new Congestion(shards, pendingBytesMax / CONGESTED_SHARE),
    reservationExpirationMs,
    scheduler: {
      random,
      reservationExpirationMs,
      chunkRetriesMax: options.chunkRetriesMax,
      chunkDisconnectsMax: options.chunkDisconnectsMax,
      ...(disconnectFadesAfterMs === undefined ? {} : { disconnectFadesAfterMs }),
    },
    ending: (queue: NamedQueue, submission: OpenSubmission, cause: SubmissionEndCause) =>
      endings.ending(queue, submission, cause),
    changed: (queue: NamedQueue) => queues.changed(queue),
  };
  const unattended = new Unattended({ clock, logger, queues: () => queues });
  const scopes = new Scopes();
  const makeQueue = (name: string, shard: Shard, scheduler?: Scheduler<ConsumerPeer>) =>
    new NamedQueue(name, shard, own, scheduler);
  const queues: NamedQueues = new NamedQueues(shards, makeQueue, unattended, scopes);
  const reads = new Reads({ store, shards, queues, scopes, longPolls, retention, submissionsReturnedMax });
  const endings = new Endings({ ...shared, queues, reads });
  const inserts = new Inserts({ ...shared, queues, pendingBytesMax });
  const retries = new Retries({ ...shared, queues, endings, retention });
  const verbs = new Verbs({ ...shared, queues, scopes, endings, retries });
  const shardOptions = {
    store,
    clock,
    random,
    logger,
    holdHandOutAfterMs: options.holdHandOutAfterMs ?? 5_000,
    inputRoom: { bytesMax: options.inputCacheBytesMax ?? 64 * 1024 * 1024, bytes: 0 },
    longChunksPace: { nextLineMs: Number.NEGATIVE_INFINITY },
    retryLog: new RetryLog({ clock, logger }),
    hooks: {
      committed: (seconds: number) => stats.committed(seconds),
      healthChanged: () => hooks.healthChanged(),
      hold: (shard: Shard, held: boolean) => queues.holdHandOut(shard, held),
      halted: (shard: Shard) => queues.stop(shard),
      stopping(shard: Shard) {
        longPolls.wakeAll((queue) => shards.shardOf(queue) === shard.id);
        return retention.settled();
      },
      stopped(shard: Shard) {
        queues.drop(shard);
        shards.remove(shard);
        scopes.forget((scope) => scope !== SERVER_SCOPE && shards.shardOf(scope) === shard.id);
        hooks.healthChanged();
      },
      giveUp,
    },
  };
  const makeShard = (tenure: Tenure) => new Shard({ ...shardOptions, tenure });
  return {
    shards,
    makeShard,
    /** Of schedules that are made before they are in use. */
    schedulesOptions: { clock, scheduler: own.scheduler },
    queues,
    scopes,
    verbs,
    inserts,
    retries,
    reads,
    endings,
    retention,
    stats,
    events,
  };
}
