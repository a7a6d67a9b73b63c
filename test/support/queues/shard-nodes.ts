import assert from 'node:assert/strict';
import type { ShardId } from '../../../src/model/ids.ts';
import { shardOfQueue } from '../../../src/model/shard.ts';
import { HttpServer } from '../../../src/net/http/server.ts';
import { Admission } from '../../../src/server/http/admission.ts';
import { QueueOffice, type ShardOffice } from '../../../src/server/office.ts';
import { Passing } from '../../../src/server/passing.ts';
import { checkedSettings } from '../../../src/server/settings.ts';
import { isPatient, whoseIs } from '../../../src/server/whose.ts';
import { unlimitedTenure } from '../../../src/store/lease.ts';
import { MemoryDatabase, MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { recordingLogger } from '../fakes/recording-logger.ts';
import { HttpSocket, type RawAnswer } from '../peers/http-socket.ts';
import { assertDescribed } from '../protocol/openapi.ts';

const shardOf = shardOfQueue;
/** Shards of three queues: of the unnamed one, and of those names. */
export const [UNNAMED, IMAGES, BILLS] = ['', 'images', 'bills'].map(shardOf) as [ShardId, ShardId, ShardId];
const HOLD_MS = 5_000;

/** What a process has that takes shards when a test says so. */
export class ShardNode {
  readonly logger = recordingLogger();
  /** How much later it is by the clock that measures for how long nobody has a shard. */
  laterMs = 0;
  readonly passing = new Passing({
    clock: {
      nowMs: () => systemClock.nowMs(),
      monotonicMs: () => systemClock.monotonicMs() + this.laterMs,
      after: (ms, run, options) => systemClock.after(ms, run, options),
      soon: (run) => systemClock.soon(run),
    },
    logger: this.logger,
    holdMs: HOLD_MS,
    shardsTotal: () => 3,
    whoseIs: (target) => whoseIs(target, '', shardOf),
    isPatient: (target) => isPatient(target, ''),
  });
  readonly office: QueueOffice;
  readonly #name: string;
  readonly #store: MemoryStore;
  readonly #http: HttpServer;
  readonly #shards = new Map<ShardId, ShardOffice>();

  constructor(name: string, database: MemoryDatabase) {
    const settings = checkedSettings({ hosts: ['127.0.0.1'], port: 0, logger: this.logger });
    this.#name = name;
    this.#store = new MemoryStore({ database, clock: systemClock });
    this.#http = new HttpServer(settings, { request() {}, isUpgrade: () => false, upgrade() {} });
    const { basePath, hostNames } = settings;
    this.office = new QueueOffice({
      settings,
      http: this.#http,
      store: this.#store,
      admission: new Admission({
        loopbackOnly: true,
        hostNames,
        advertised: null,
        queues: null,
        basePath,
        hasPage: false,
      }),
      queues: null,
      shardOf,
      node: this.#face(),
      nodeId: name,
      passing: this.passing,
    });
    this.#http.handOver(this.office.handler);
  }

  static async start(name: string, database: MemoryDatabase, shards: readonly ShardId[]): Promise<ShardNode> {
    const node = new ShardNode(name, database);
    await node.#http.listen();
    for (const shard of shards) await node.take(shard);
    running.push(node);
    return node;
  }

  get port(): number {
    return this.#http.addresses[0]!.port;
  }

  async take(shard: ShardId): Promise<void> {
    const [grant = assert.fail()] = await this.#store.acquire([shard], this.#name);
    this.#shards.set(shard, await this.office.open(unlimitedTenure(grant)));
    this.passing.lookAt(shard, 'here');
  }

  async give(shard: ShardId): Promise<void> {
    const office = this.#shards.get(shard)!;
    this.#shards.delete(shard);
    this.passing.lookAt(shard, null);
    await office.stop();
  }

  /** This node knows that the other one has it. */
  sees(shard: ShardId, { name, port }: { readonly name: string; readonly port: number }): void {
    this.seesAt(shard, name, `127.0.0.1:${port}`);
  }

  seesAt(shard: ShardId, node: string, address: string): void {
    this.passing.lookAt(shard, { node, address });
  }

  get name(): string {
    return this.#name;
  }

  /** On a connection of its own; the answer must be as docs/openapi.json has it. */
  async request(line: string, body?: string): Promise<RawAnswer> {
    const socket = await HttpSocket.open(this.port);
    socket.send(line, body === undefined ? {} : { 'content-type': 'application/json' }, body);
    const answer = await socket.answer();
    socket.close();
    await assertDescribed(line, answer);
    return answer;
  }

  async insert(queue: string, prefix: string): Promise<string> {
    const { status, body } = await this.request(`POST ${pathOf(queue)}/producer/submissions`, bodyOf(prefix));
    assert.equal(status, 200, body.toString());
    return body.toString();
  }

  async stop(): Promise<void> {
    const closed = this.#http.stop(600, this.passing.stop());
    for (const shard of [...this.#shards.keys()]) await this.give(shard);
    this.office.cut();
    await Promise.all([closed, this.office.stop()]);
  }

  #face() {
    const shards = this.#shards;
    const { passing } = this;
    const info = () => ({
      node: this.#name,
      role: 'active' as const,
      sinceMs: 0,
      shards: [...shards.keys()],
      epoch: null,
      holder: null,
      address: `127.0.0.1:${this.port}`,
      reason: null,
      reasonSinceMs: null,
      version: '0.0.0',
    });
    return {
      infoFor: info,
      nodes: () => assert.fail('not asked for'),
      whyNobody: () => 'no node has this queue at the moment',
      isOpen: (queue: string) => shards.has(shardOf(queue)),
      clock: systemClock,
      logStats: undefined,
      role: 'active' as const,
      epoch: null,
      shardsOpen: 0,
      takeovers: 0,
      lastTakeoverMs: null,
      leaseAgeMs: null,
      connectionsPassedOn: 0,
      get requestsPassedOn() {
        return passing.requests;
      },
      connectionsRejected: {},
    };
  }
}

const running: ShardNode[] = [];

/** Those that were started. */
export async function stopNodes(): Promise<void> {
  await Promise.all(running.splice(0).map((node) => node.stop()));
}

/** Nodes that share a store, each with those shards, and know of each other. */
export async function shardNodes(...shards: (readonly ShardId[])[]): Promise<readonly ShardNode[]> {
  const database = new MemoryDatabase();
  const all = await Promise.all(
    shards.map((each, i) => ShardNode.start(`${i}`.padStart(12, '0'), database, each)),
  );
  for (const node of all) {
    for (const [i, other] of all.entries()) {
      if (other !== node) for (const shard of shards[i]!) node.sees(shard, other);
    }
  }
  return all;
}

export const pathOf = (queue: string) => (queue === '' ? '' : `/q/${queue}`);
export const bodyOf = (prefix: string) =>
  JSON.stringify({ chunk_contents: { SeeObjectStorage: { prefix, count: 1 } } });
