import { isIP } from 'node:net';
import { UNNAMED_QUEUE } from '../model/queue-name.ts';
import { type HttpAddress, HttpServer } from '../net/http/server.ts';
import { QueueNode } from '../node/queue-node.ts';
import type { Store } from '../store/store.ts';
import { descriptorsMax } from '../system/process/descriptors.ts';
import { advertisedAddress } from './advertised-address.ts';
import { Admission } from './http/admission.ts';
import { unavailableHandler } from './http/unavailable.ts';
import { NodeMetrics } from './metrics/node.ts';
import { NodeFace } from './node-face.ts';
import { QueueOffice } from './office.ts';
import type { ServerSettings } from './settings.ts';

/** How long answers that are on their way may take when the server stops. */
const STOP_GRACE_MS = 600;
/** How long the store may take for what is under way after that; nothing waits for its answer any more. */
const STORE_GRACE_MS = 200;

/**
 * A node of a queue on its sockets. Whether it is the active one decides its {@link QueueNode}; only then a
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
  #store: Store | null = null;
  #node: QueueNode | null = null;
  /** The last one, which may be over. */
  #office: QueueOffice | null = null;
  #stopping: Promise<void> | null = null;
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
      queues: this.#queues,
      basePath: settings.basePath,
      hasPage: settings.page === 'on',
    });
    this.#http = new HttpServer(
      { ...settings, clock, logger, descriptorsMax: descriptorsMax() ?? undefined },
      { request: () => {}, isUpgrade: () => false, upgrade: () => {} },
    );
    const address = () => advertisedAddress(settings.advertise, this.addresses);
    this.#face = new NodeFace(clock, settings.logStats, this.#http, address);
    this.#metrics = new NodeMetrics(this.#face);
    this.#answerOnly('the queue is starting');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#settle = { resolve, reject };
    // A caller that does not care for it must not be brought down by it.
    promise.catch(() => {});
  }

  /**
   * Resolves when this node knows what its role is, and has the queue open if it is the active one. Rejects if the store
   * cannot be used; then everything is closed.
   *
   * @param store belongs to the server from here on
   */
  async open(store: Store): Promise<void> {
    const { clock, random, logger, leaseMs } = this.#settings;
    this.#store = store;
    const { id, info } = this.#face;
    const node = new QueueNode({
      store,
      id,
      address: info.address,
      leaseMs,
      clock,
      random,
      logger,
      open: async (tenure) => {
        this.#office = await QueueOffice.open({
          settings: this.#settings,
          http: this.#http,
          store,
          tenure,
          admission: this.#admission,
          queues: this.#queues,
          node: this.#face,
        });
        return this.#office;
      },
      changed: () => this.#roleChanged(),
    });
    this.#node = node;
    this.#face.began(node);
    try {
      await node.settled;
    } catch (error) {
      await this.#end(error);
      throw error;
    }
    node.ended.catch((error: unknown) => this.#end(error));
  }

  get addresses(): HttpAddress[] {
    return this.#http.addresses;
  }

  /** Ends within a second: answers what is asked, sends close frames to consumers, writes down what was done. Idempotent. */
  stop(): Promise<void> {
    return this.#end(null);
  }

  #end(cause: unknown): Promise<void> {
    this.#stopping ??= this.#stop().then(
      () => (cause === null ? this.#settle.resolve() : this.#settle.reject(cause)),
      (error: unknown) => this.#settle.reject(error),
    );
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { clock, logger } = this.#settings;
    const startedMs = clock.monotonicMs();
    this.#face.stopping();
    this.#answerOnly('the queue is stopping');
    const closed = this.#http.stop(STOP_GRACE_MS);
    await this.#node?.stop();
    await closed;
    this.#office?.cut();
    await this.#store?.close(STORE_GRACE_MS);
    const { isOnDisk = true, ...figures } = this.#office?.outcome ?? {};
    const fields = { tookMs: Math.round(clock.monotonicMs() - startedMs), ...figures };
    if (isOnDisk) logger.info(fields, 'stopped');
    else
      logger.warn(
        fields,
        'stopped before all results were on disk: their chunks are handed out again after the next start',
      );
  }

  /** Called when the node has become active, which has its own handler by then, as well. */
  #roleChanged(): void {
    if (this.#stopping !== null || this.#node?.state.role !== 'standby') return;
    this.#answerOnly('no node is active at the moment', true);
    this.#http.closeIdleConnections();
  }

  #answerOnly(reason: string, isBrief = false): void {
    const metrics = () => this.#metrics.text();
    this.#http.handOver(
      unavailableHandler({ reason, isBrief, admission: this.#admission, node: this.#face, metrics }),
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
