import type { ObjectStoreOptions } from '../../../src/objects/object-store.ts';
import { openObjectStore } from '../../../src/objects/open.ts';
import type { RunningFake } from '../fakes/fake-server.ts';
import { type Fault, type ProxiedRequest, startFaultProxy } from '../network/fault-proxy.ts';
import { freePort } from '../network/free-port.ts';
import type { ObjectServer } from './object-servers.ts';

/** What a request meets; `before` counts the same requests that came earlier. */
export type Decide = (request: ProxiedRequest, before: number) => Fault | null;

export interface Seen {
  /** Requests by method and address, with how often each came. */
  readonly requests: Map<string, number>;
  faults: number;
}

interface Armed extends Seen {
  readonly decide: Decide;
}

const PREFIX = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/;

/**
 * A place in an object store behind a proxy that plays a bad network, another one for each submission: a submission is
 * known by the word that its operations carry, from the first upload on.
 */
export class FaultyPlace implements AsyncDisposable {
  readonly url: string;
  readonly options: ObjectStoreOptions;
  readonly #server: ObjectServer;
  readonly #armed = new Map<string, Armed>();
  /** The words of the submissions, by prefix. */
  readonly #words = new Map<string, string>();
  #proxy: RunningFake;
  readonly #port: number;
  #leaving: Promise<void> | null = null;

  static async start(start: () => Promise<ObjectServer>): Promise<FaultyPlace> {
    const server = await start();
    const decide = (request: ProxiedRequest) => place.#decide(request);
    const place: FaultyPlace = new FaultyPlace(
      server,
      await startFaultProxy(server.origin, decide, await freePort()),
    );
    return place;
  }

  private constructor(server: ObjectServer, proxy: RunningFake) {
    this.#server = server;
    this.#proxy = proxy;
    this.#port = Number(new URL(proxy.origin).port);
    const { url, options } = server.place('full-run', proxy.origin);
    this.url = url;
    this.options = options;
  }

  /** What the operations of a submission must contain to meet what was armed under that word. */
  mark(word: string): string {
    return `fault:${word};`;
  }

  /** From here on all requests about submissions of that word meet what `decide` says. */
  arm(word: string, decide: Decide): Seen {
    const armed: Armed = { decide, requests: new Map(), faults: 0 };
    this.#armed.set(word, armed);
    return armed;
  }

  /** What lies in the store of the submissions of a word, asked behind the proxy. */
  async objectsOf(word: string): Promise<string[]> {
    const { url, options } = this.#server.place('full-run');
    const store = await openObjectStore(url, options);
    try {
      const keys = await Array.fromAsync(store.list(''), ({ key }) => key);
      return keys.filter((key) => this.#words.get(key.slice(0, key.indexOf('/'))) === word);
    } finally {
      await store.close();
    }
  }

  /** Cuts all connections, and refuses new ones. */
  leave(): Promise<void> {
    this.#leaving ??= this.#proxy.stop();
    return this.#leaving;
  }

  async comeBack(): Promise<void> {
    await this.#leaving;
    this.#leaving = null;
    this.#proxy = await startFaultProxy(this.#server.origin, (request) => this.#decide(request), this.#port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
    await this.#server.stop();
  }

  #decide(request: ProxiedRequest): Fault | null {
    const body = request.body.toString('latin1');
    // Batches name their objects in the body.
    const prefix = (PREFIX.exec(request.url) ?? PREFIX.exec(body))?.[0];
    if (prefix === undefined) return null;
    const marked = /fault:([\w-]+);/.exec(body)?.[1];
    if (marked !== undefined) this.#words.set(prefix, marked);
    const armed = this.#armed.get(this.#words.get(prefix) ?? '');
    if (armed === undefined) return null;
    const name = `${request.method} ${request.url}`;
    const before = armed.requests.get(name) ?? 0;
    armed.requests.set(name, before + 1);
    const fault = armed.decide(request, before);
    if (fault !== null) armed.faults++;
    return fault;
  }
}
