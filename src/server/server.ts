import { isIP } from 'node:net';
import type { ShardId } from '../model/ids.ts';
import { UNNAMED_QUEUE } from '../model/queue-name.ts';
import { SHARDS, shardOfQueue } from '../model/shard.ts';
import { type HttpAddress, type HttpHandler, HttpServer } from '../net/http/server.ts';
import { type NodeState, QueueNode } from '../node/queue-node.ts';
import type { Store } from '../store/store.ts';
import { descriptorsMax } from '../system/process/descriptors.ts';
import { advertisedAddress } from './advertised-address.ts';
import { Admission } from './http/admission.ts';
import { unavailableHandler } from './http/unavailable.ts';
import { NodeMetrics } from './metrics/node.ts';
import { NodeFace } from './node-face.ts';
import { QueueOffice } from './office.ts';
import { Passing } from './passing.ts';
import type { ServerSettings } from './settings.ts';
import { isPatient, whoseIs } from './whose.ts';

/** Which shards there are, and which of them a queue belongs to. */
interface Sharding {
  readonly shards: readonly ShardId[];
  readonly shardOf: (queue: string) => ShardId;
}

/** Of a store that has one owner. */
const ONE_SHARD: Sharding = { shards: [0], shardOf: () => 0 };
/** Of one that several nodes share. */
const SHARED: Sharding = {
  shards: Array.from({ length: SHARDS }, (_, shard) => shard),
  shardOf: shardOfQueue,
};

/** How long answers that are on their way may take when the server stops. */
const STOP_GRACE_MS = 600;
/** How long the store may take for what is under way after that; nothing waits for its answer any more. */
const STORE_GRACE_MS = 200;

/**
 * A node of a queue on its sockets. Which shards it has decides its {@link QueueNode}; while it has one, a
 * {@link QueueOffice} answers.
 *
 *     listen--> starting --open--> standby <--> active --stop (the port goes first)--> stopped
 *                                     +--the store cannot be used any more--> stopped, `ended` rejects
 */
export class Server {
  /** Resolves when the server has stopped; rejects if it stopped because its store is lost. */
  readonly ended: Promise<void>;
  readonly #settings: ServerSettings;
  readonly #http: HttpServer;
  readonly #admission: Admission;
  readonly #queues: ReadonlySet<string> | null;
  readonly #face: NodeFace;
  readonly #metrics: NodeMetrics;
  readonly #passing: Passing;
  /** Known when the store is. */
  #sharding = ONE_SHARD;
  #store: Store | null = null;
  #node: QueueNode | null = null;
  /** From the first shard on that this node has, or prepares to have. */
  #office: QueueOffice | null = null;
  /** As seen last. */
  #role: NodeState['role'] | null = null;
  #stopping: Promise<void> | null = null;
  /** It still acts, and follows the other nodes, while it announces that it is to stop. */
  #isClosing = false;
  #settle: { resolve(): void; reject(error: unknown): void };

  /** Listens, and answers that the queue is starting. Rejects with a ListenError. */
  static async listen(settings: ServerSettings): Promise<Server> {
    const server = new Server(settings);
    await server.#http.listen();
    return server;
  }

  private constructor(settings: ServerSettings) {
    const { clock, logger, hosts, hostNames } = settings;
    this.#settings = settings;
    this.#queues = allowedQueues(settings.queues);
    this.#admission = new Admission({
      loopbackOnly: hosts?.every(isLoopback) ?? true,
      hostNames,
      advertised: settings.advertise ?? null,
      queues: this.#queues,
      basePath: settings.basePath,
      hasPage: settings.page === 'on',
    });
    this.#http = new HttpServer(
      {
        ...settings,
        clock,
        logger,
        descriptorsMax: descriptorsMax() ?? undefined,
        descriptorsBeside: () => this.#passing.connections,
      },
      { request: () => {}, isUpgrade: () => false, upgrade: () => {} },
    );
    const address = () => advertisedAddress(settings.advertise, this.addresses);
    this.#passing = new Passing({
      clock,
      logger,
      holdMs: settings.leaseMs,
      shardsTotal: () => this.#sharding.shards.length,
      whoseIs: (target) => whoseIs(target, settings.basePath, this.#sharding.shardOf),
      isPatient: (target) => isPatient(target, settings.basePath),
    });
    this.#face = new NodeFace(settings, this.#http, this.#passing, address);
    this.#metrics = new NodeMetrics(this.#face);
    this.#answerOnly();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#settle = { resolve, reject };
    // A caller that does not care for it must not be brought down by it.
    promise.catch(() => {});
  }

  /**
   * Resolves when this node knows what its role is, and has its first shard open if it is active. Rejects if the store
   * cannot be used; then everything is closed.
   *
   * @param store belongs to the server from here on
   */
  async open(store: Store): Promise<void> {
    const { clock, random, logger, leaseMs } = this.#settings;
    this.#store = store;
    this.#sharding = store.leases === undefined ? ONE_SHARD : SHARED;
    const { id } = this.#face;
    const office = () => {
      this.#office ??= this.#makeOffice(store);
      return this.#office;
    };
    const node = new QueueNode({
      store,
      shards: this.#sharding.shards,
      id,
      address: this.#face.address,
      leaseMs,
      clock,
      random,
      logger,
      open: (tenure) => office().open(tenure),
      prepare: (shard, dropped) => office().prepare(shard, dropped),
      changed: () => this.#nodeChanged(),
      looked: ({ server }) => this.#office?.looked(server),
    });
    this.#node = node;
    this.#face.began(node, this.#sharding.shardOf);
    try {
      await node.settled;
    } catch (error) {
      await this.#end(error);
      throw error;
    }
    node.ended.catch((error: unknown) => this.#end(error));
  }

  /** Its store is being opened, and waits for something; null: it waits no more. */
  waits(reason: string | null): void {
    this.#face.storeWaits(reason);
  }

  get addresses(): HttpAddress[] {
    return this.#http.addresses;
  }

  /**
   * Ends within a second: answers what is asked, sends close frames to consumers, writes down what was done. Before that it
   * lets nodes that are there get ready to take over, for 10 seconds at most. Idempotent.
   */
  stop(): Promise<void> {
    return this.#end(null);
  }

  #end(cause: unknown): Promise<void> {
    this.#stopping ??= this.#stop(cause).then(
      () => (cause === null ? this.#settle.resolve() : this.#settle.reject(cause)),
      (error: unknown) => this.#settle.reject(error),
    );
    return this.#stopping;
  }

  async #stop(cause: unknown): Promise<void> {
    const { clock, logger } = this.#settings;
    const startedMs = clock.monotonicMs();
    if (cause === null) await this.#node?.announceStop();
    // What ended before is no part of this end.
    if (cause === null) this.#office?.takeOutcome();
    this.#isClosing = true;
    this.#face.stopping();
    this.#answerOnly();
    const closed = this.#http.stop(STOP_GRACE_MS, this.#passing.stop());
    await this.#node?.stop();
    await closed;
    this.#office?.cut();
    await this.#office?.stop();
    await this.#store?.close(STORE_GRACE_MS);
    const { isOnDisk = true, ...figures } = this.#office?.takeOutcome() ?? {};
    const fields = { tookMs: Math.round(clock.monotonicMs() - startedMs), ...figures };
    if (isOnDisk) logger.info(fields, 'stopped');
    else
      logger.warn(
        fields,
        'stopped before all results were on disk: their chunks are handed out again after the next start',
      );
  }

  #makeOffice(store: Store): QueueOffice {
    return new QueueOffice({
      settings: this.#settings,
      http: this.#http,
      store,
      admission: this.#admission,
      queues: this.#queues,
      shardOf: this.#sharding.shardOf,
      node: this.#face,
      nodeId: this.#face.id,
      ...(store.leases === undefined ? {} : { passing: this.#passing }),
    });
  }

  #nodeChanged(): void {
    const node = this.#node;
    if (this.#isClosing || node === null) return;
    for (const shard of this.#sharding.shards) {
      const holder = node.holderOf(shard);
      const isOther = holder !== null && holder !== 'here';
      this.#passing.lookAt(shard, isOther ? { node: holder.holder, address: holder.address } : holder);
    }
    const { role } = node.state;
    const before = this.#role;
    if (role === before) return;
    this.#role = role;
    if (role === 'active') this.#http.handOver(this.#office!.handler);
    if (role !== 'standby') return;
    // What it knows of the others may be as old as its leases: two that have lost theirs would send connections back and forth.
    if (before === 'active') this.#passing.doubtOthers();
    this.#answerOnly((socket, serve) => {
      const { connection } = this.#passing;
      if (connection === undefined) serve();
      else connection(socket, serve);
    });
    this.#http.closeIdleConnections();
  }

  #answerOnly(connection?: NonNullable<HttpHandler['connection']>): void {
    this.#http.handOver(
      unavailableHandler({
        admission: this.#admission,
        node: this.#face,
        metrics: () => this.#metrics.text(),
        ...(connection === undefined ? {} : { connection }),
      }),
    );
  }
}

/** What `--queues` means: '' is the unnamed one; null: any. */
function allowedQueues(queues: readonly string[] | undefined): ReadonlySet<string> | null {
  return queues === undefined ? null : new Set(queues.map((name) => (name === UNNAMED_QUEUE ? '' : name)));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
