import assert from 'node:assert/strict';
import type { ChunkId, ShardId } from '../../../src/model/ids.ts';
import { Strategy } from '../../../src/model/strategy.ts';
import { encodeClientMessage } from '../../../src/protocol/consumer/codec.ts';
import type { ClientMessage, ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';
import type { QueueOptions } from '../../../src/queue/assemble.ts';
import type { NewSubmission } from '../../../src/queue/inserts.ts';
import { Queue } from '../../../src/queue/queue.ts';
import type { Shard } from '../../../src/queue/shard/shard.ts';
import { parseConsumerFeatures } from '../../../src/server/consumers/features.ts';
import { ConsumerSession, type ConsumerSessionOptions } from '../../../src/server/consumers/session.ts';
import { SharedBySessions } from '../../../src/server/consumers/shared.ts';
import { checkedSettings } from '../../../src/server/settings.ts';
import { unlimitedTenure } from '../../../src/store/lease.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { EndOfTurn } from '../../../src/system/event-loop/end-of-turn.ts';
import { seededRandom } from '../../../src/system/random.ts';
import { FakeConnection } from '../fakes/fake-connection.ts';
import { type LogLine, type RecordingLogger, recordingLogger } from '../fakes/recording-logger.ts';
import { ManualClock } from '../time/manual-clock.ts';

/** A message without its nonce. */
export type Unnumbered<M> = M extends ClientMessage ? Omit<M, 'nonce'> : never;

/** A queue without sockets, whose time stands still, and consumers that sit right on their sessions. */
export class QueueWorld {
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
  readonly store: Store;
  readonly queue: Queue;
  readonly #turn: EndOfTurn;
  readonly #shared: SharedBySessions;

  private constructor(store: Store, queue: Queue, clock: ManualClock, logger: RecordingLogger) {
    this.store = store;
    this.queue = queue;
    this.clock = clock;
    this.logger = logger;
    this.#turn = new EndOfTurn(clock);
    this.#shared = new SharedBySessions(clock);
  }

  static async start(options: Partial<QueueOptions> = {}): Promise<QueueWorld> {
    const all = queueOptions(options);
    return new QueueWorld(all.store, await Queue.open(all), all.clock, all.logger);
  }

  /** A queue that has these shards. */
  static async withShards(
    shards: readonly ShardId[],
    options: Partial<QueueOptions> & Pick<QueueOptions, 'shardOf'>,
  ): Promise<QueueWorld> {
    const all = queueOptions(options);
    const world = new QueueWorld(all.store, new Queue(all), all.clock, all.logger);
    for (const shard of shards) await world.takeShard(shard);
    return world;
  }

  /** Whoever had the shard before is fenced. */
  async takeShard(id: ShardId): Promise<Shard> {
    const [grant = assert.fail()] = await this.store.acquire([id], 'world');
    return this.queue.openShard(unlimitedTenure(grant));
  }

  get log(): readonly LogLine[] {
    return this.logger.lines;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async passes(ms: number): Promise<void> {
    await this.settle();
    this.clock.advance(ms);
    await this.settle();
  }

  /** Stops the queue; what is not on disk by then is given up. */
  async stop(): Promise<void> {
    const stopped = this.queue.stop(1);
    await this.passes(1);
    await stopped;
  }

  insert(prefix: string, chunksTotal: number, fields: Partial<NewSubmission> = {}): Promise<bigint> {
    return this.queue.inserts.insert(newSubmission({ prefix, chunksTotal, ...fields }));
  }

  insertDirect(
    directInputs: readonly (Uint8Array | null)[],
    fields: Partial<NewSubmission> = {},
  ): Promise<bigint> {
    return this.queue.inserts.insert(
      newSubmission({ prefix: null, chunksTotal: directInputs.length, directInputs, ...fields }),
    );
  }

  async stateOf(id: bigint, queue = ''): Promise<string> {
    return (await this.queue.reads.status(queue, id))?.state ?? 'unknown';
  }

  /** @param features as in the header `opsqueue-features`; undefined for an old client */
  consumer(
    features?: string,
    options: Partial<ConsumerSessionOptions> & { concurrency?: number } = {},
  ): WorldConsumer {
    return new WorldConsumer(this.queue, this.clock, this.#turn, {
      shared: this.#shared,
      features: parseConsumerFeatures(features, String(options.concurrency ?? 1)),
      logger: this.logger,
      ...options,
    });
  }
}

function queueOptions(
  options: Partial<QueueOptions>,
): QueueOptions & { readonly clock: ManualClock; readonly logger: RecordingLogger } {
  const [clock, logger] = [new ManualClock(), recordingLogger()];
  const store = options.store ?? new MemoryStore();
  return { ...checkedSettings({}), random: seededRandom(1), ...options, store, clock, logger };
}

/** A consumer whose messages reach its session at once. */
export class WorldConsumer {
  readonly connection = new FakeConnection();
  readonly session: ConsumerSession;
  /** Whether the session has told its end. */
  isEnded = false;
  #nonce = 0;

  constructor(
    queue: Queue,
    clock: ManualClock,
    turn: EndOfTurn,
    options: Pick<ConsumerSessionOptions, 'features' | 'logger' | 'shared'>,
  ) {
    this.session = new ConsumerSession({
      queue,
      queueName: '',
      connection: this.connection,
      clock,
      turn,
      connId: '01900000-0000-7000-8000-000000000000',
      versionInfo: 'v0.0.0',
      heartbeatIntervalMs: 10_000,
      missableHeartbeatsMax: 3,
      ended: () => {
        this.isEnded = true;
      },
      ...options,
    });
    this.session.open();
  }

  send(message: Unnumbered<ClientMessage>): number {
    const nonce = this.#nonce++;
    this.session.alive();
    this.session.message(encodeClientMessage({ ...message, nonce } as ClientMessage, { byteStrings: true }));
    return nonce;
  }

  reserve(max = 1, strategy: Strategy = Strategy.oldest()): number {
    return this.send({ kind: 'reserve', max, strategy });
  }

  complete(chunk: ChunkId, outputContent: Uint8Array | null = null): void {
    this.send({ kind: 'complete', chunk, outputContent });
  }

  fail(chunk: ChunkId, failure = 'it went wrong'): void {
    this.send({ kind: 'fail', chunk, failure });
  }

  /** Forgets what was sent so far. */
  clear(): void {
    this.connection.take();
  }

  /** The chunks of all answers that came since the last look. */
  takeChunks(): ReservedChunkMessage[] {
    return this.connection
      .takeMessages()
      .flatMap((message) => (message.kind === 'reserved' ? message.chunks : []));
  }

  /** Reserves and expects an answer at once. */
  take(max = 1, strategy?: Strategy): ReservedChunkMessage[] {
    this.clear();
    this.reserve(max, strategy);
    return this.takeChunks();
  }

  /** The connection ends. */
  disconnect(orderly = false): void {
    this.session.closed(orderly);
  }
}

export function newSubmission(fields: Partial<NewSubmission>): NewSubmission {
  return {
    queue: '',
    prefix: 'some-prefix',
    chunksTotal: 1,
    chunkSizeOps: 1,
    metadata: null,
    strategicMetadata: new Map(),
    otelTraceCarrier: '{}',
    retryDelayMs: 0,
    retry: null,
    failureMode: 'fail',
    ...fields,
  };
}
