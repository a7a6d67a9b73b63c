/** A primary with a synchronous standby, nodes of one queue on it, and between each node and each server a network that breaks. */
import pg from 'pg';
import { freePort } from '../support/network/free-port.ts';
import { type Break, TcpProxy } from '../support/network/tcp-proxy.ts';
import { startQueue, type TestProcess } from '../support/processes.ts';
import { PostgresPair } from '../support/store/postgres-pair.ts';
import { PASSWORD } from '../support/store/postgres-server.ts';
import type { Cluster } from './faults.ts';

export const SCHEMA = 'cluster';

/** A queue process, and its links to the two places where servers may be. */
export class Node {
  readonly name: string;
  readonly port: number;
  readonly proxies: readonly TcpProxy[];
  /** Ends that nobody asked for. */
  readonly surprises: string[] = [];
  /** What processes before this one have logged. */
  #log = '';
  #process: TestProcess | null = null;

  private constructor(name: string, port: number, proxies: readonly TcpProxy[]) {
    this.name = name;
    this.port = port;
    this.proxies = proxies;
  }

  /** @param upstreamPorts where database servers are, or may come to be */
  static async make(name: string, upstreamPorts: readonly number[]): Promise<Node> {
    const proxies = await Promise.all(upstreamPorts.map((port) => TcpProxy.start(port)));
    return new Node(name, await freePort(), proxies);
  }

  get process(): TestProcess {
    if (this.#process === null) throw new Error(`${this.name} is not running`);
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== null;
  }

  get log(): string {
    return `${this.#log}${this.#process?.output('stderr') ?? ''}`;
  }

  async start(): Promise<void> {
    const hosts = this.proxies.map(({ port }) => `127.0.0.1:${port}`).join();
    const store = `postgres://postgres:${PASSWORD}@${hosts}/postgres?schema=${SCHEMA}`;
    const { queue } = await startQueue(['--port', String(this.port)], {
      env: { OPSQUEUE_STORE: store },
      patienceMs: 60_000,
    });
    this.#process = queue;
    void queue.exit().then(
      (exit) => {
        if (this.#process !== queue) return;
        this.surprises.push(`${this.name} ended by itself: ${JSON.stringify(exit)}`);
      },
      () => {},
    );
  }

  /** Ends it. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const process = this.process;
    this.#process = null;
    const exit = await process.kill(signal);
    this.#log += process.output('stderr');
    if (signal === 'SIGTERM' && exit.code !== 0) {
      this.surprises.push(`${this.name} was to stop, and ended with ${JSON.stringify(exit)}`);
    }
  }

  /** Whether it has the unnamed queue, as far as it knows. */
  async isActive(): Promise<boolean> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.port}/node/active`, {
        signal: AbortSignal.timeout(1_000),
      });
      await answer.body?.cancel();
      return answer.status === 200;
    } catch {
      return false;
    }
  }

  breakLinks(how: Break): void {
    for (const proxy of this.proxies) proxy.breakAll(how);
  }

  /** As if the cable were pulled, or plugged in again. */
  set isCutOff(isCutOff: boolean) {
    for (const proxy of this.proxies) {
      proxy.isDead = isCutOff;
      if (isCutOff) proxy.breakAll('swallow');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const process = this.#process;
    this.#process = null;
    await process?.[Symbol.asyncDispose]();
    for (const proxy of this.proxies) await proxy[Symbol.asyncDispose]();
  }
}

export class World implements Cluster {
  readonly pair: PostgresPair;
  readonly nodes: readonly Node[];
  /** Where the primary is: one of the two links of each node. */
  #primaryPlace: 0 | 1 = 0;

  private constructor(pair: PostgresPair, nodes: readonly Node[]) {
    this.pair = pair;
    this.nodes = nodes;
  }

  static async start(nodeCount: number): Promise<World> {
    const pair = await PostgresPair.start();
    const ports = [pair.primary.port, pair.standby?.port ?? 0];
    const nodes: Node[] = [];
    for (let i = 0; i < nodeCount; i++) nodes.push(await Node.make(`node ${'ABC'[i]}`, ports));
    const world = new World(pair, nodes);
    await Promise.all(nodes.map((node) => node.start()));
    return world;
  }

  get address(): string {
    return this.nodes.map(({ port }) => `localhost:${port}`).join();
  }

  /** When the promotion was complete. */
  async failOver(how: 'crash' | 'kill' | 'fast'): Promise<number> {
    await this.pair.failOver(how);
    this.#primaryPlace = this.#primaryPlace === 0 ? 1 : 0;
    return performance.now();
  }

  async addStandby(): Promise<void> {
    const standby = await this.pair.addStandby();
    const place = this.#primaryPlace === 0 ? 1 : 0;
    for (const { proxies } of this.nodes) proxies[place]!.upstreamPort = standby.port;
  }

  /** A statement on the primary, behind the back of the queue. */
  async sql(text: string): Promise<pg.QueryResult> {
    const admin = new pg.Client(this.pair.primary.url());
    admin.on('error', () => {});
    await admin.connect();
    try {
      return await admin.query(text);
    } finally {
      await admin.end();
    }
  }

  get surprises(): string[] {
    return this.nodes.flatMap(({ surprises }) => surprises);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    await this.pair[Symbol.asyncDispose]();
  }
}
