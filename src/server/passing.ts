import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { messageOf } from '../model/thrown.ts';
import { parseQueueUrl } from '../net/address/queue-url.ts';
import { attemptRequest } from '../net/http/attempt.ts';
import { firstRequest } from '../net/relay/first-request.ts';
import { Relay, type RelayAddress } from '../net/relay/relay.ts';
import { parseNode } from '../protocol/node.ts';
import type { Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';

export interface PassingOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A connection waits for an active node for at most so long. */
  readonly holdMs: number;
  /** Whether a request for that target is about this node: then its connection stays here. */
  isOwn(target: string): boolean;
}

/** To whom connections go: another node, this one, or nobody that is known of. */
export type Recipient = { readonly node: string; readonly address: string } | 'here' | null;

/** How long the active node may take to say that it is. */
const ASK_MS_MAX = 1_000;
/** It is asked again after so long while it is not active yet, cannot be reached, or another one answers. */
const ASK_AGAIN_MS = 50;
const ASK_AGAIN_ELSEWHERE_MS = 1_000;
/** A node that gives its lease away ends its connections itself within this time, with the answers that are due. */
const CUT_AFTER_MS = 250;

/**
 * What a standby does with connections: those that begin with a request about this node stay here, the others are passed
 * on to the active one, or wait for it. It is asked first whether it is the node that has the lease, at each change: an
 * address that leads elsewhere, to this node in the worst case, would send connections round in circles.
 */
export class Passing {
  readonly #o: PassingOptions;
  readonly #relay: Relay;
  readonly #agent = new Agent({ keepAlive: false });
  #recipient: Recipient = null;
  /** Where the recipient has said that it is active. */
  #confirmed: RelayAddress | null = null;
  /** Fires when the recipient is another one. */
  #changed = new AbortController();
  /** Fires when one that waits should look again. */
  #news = new AbortController();

  constructor(options: PassingOptions) {
    this.#o = options;
    this.#relay = new Relay(options.clock);
  }

  /** Connections that are passed on at the moment. */
  get connections(): number {
    return this.#relay.size;
  }

  /** Connections go there from now on. */
  lookAt(recipient: Recipient): void {
    if (isSame(recipient, this.#recipient)) return;
    this.#recipient = recipient;
    this.#confirmed = null;
    this.#changed.abort();
    this.#changed = new AbortController();
    if (this.#relay.size > 0) this.#o.clock.after(CUT_AFTER_MS, this.#relay.cutter(), { unref: true });
    if (recipient !== null && recipient !== 'here') void this.#confirm(recipient, this.#changed.signal);
    this.#tellWaiting();
  }

  /** @param serve lets this node work on it */
  async connection(socket: Socket, serve: () => void): Promise<void> {
    const { clock, isOwn, holdMs } = this.#o;
    socket.on('error', ignore);
    const first = await firstRequest(socket, clock);
    if (first === null) return;
    const { head, target } = first;
    const isHere = target === null || isOwn(target);
    const untilMs = clock.monotonicMs() + holdMs;
    for (;;) {
      const to = isHere ? null : await this.#route(untilMs);
      if (socket.destroyed) return;
      if (to === null) break;
      if (await this.#relay.pass(socket, head, to)) return;
      // It is not there any more, perhaps.
      if (this.#confirmed === to) {
        const recipient = this.#recipient;
        this.#recipient = null;
        this.lookAt(recipient);
      }
    }
    socket.off('error', ignore);
    socket.unshift(head);
    serve();
    socket.resume();
  }

  /** Cuts what is passed on; what waits is for this node to answer. */
  stop(): void {
    this.lookAt('here');
    this.#relay.cutter()();
  }

  /** Where to pass a connection on to; null: nowhere, within that time. */
  async #route(untilMs: number): Promise<RelayAddress | null> {
    const { clock } = this.#o;
    while (this.#confirmed === null && this.#recipient !== 'here') {
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0) break;
      await sleep(clock, leftMs, this.#news.signal).catch(ignore);
    }
    return this.#confirmed;
  }

  /** Asks the node until it says that it is active, or connections go elsewhere. */
  async #confirm(
    { node, address }: { readonly node: string; readonly address: string },
    changed: AbortSignal,
  ): Promise<void> {
    const { clock, logger } = this.#o;
    let problem: string | null = null;
    while (!changed.aborted) {
      let waitMs = ASK_AGAIN_MS;
      let found: string | null = null;
      try {
        const answer = await this.#ask(address, changed);
        if (answer?.node === node) {
          if (answer.isActive) break;
        } else {
          found = 'another node, or something else, answers there: it needs another --advertise';
          waitMs = ASK_AGAIN_ELSEWHERE_MS;
        }
      } catch (error) {
        found = messageOf(error);
      }
      if (changed.aborted) return;
      if (found !== null && found !== problem) {
        logger.warn({ address, node, reason: found }, 'cannot pass connections on to the active node');
      }
      problem = found;
      await sleep(clock, waitMs, changed).catch(ignore);
    }
    if (changed.aborted) return;
    if (problem !== null)
      logger.info({ address, node }, 'connections are passed on to the active node again');
    const { hostname: host, port } = parseQueueUrl(address);
    this.#confirmed = { host, port };
    this.#tellWaiting();
  }

  async #ask(address: string, signal: AbortSignal): Promise<ReturnType<typeof parseNode>> {
    const { clock } = this.#o;
    const target = { queue: parseQueueUrl(address), agent: this.#agent, clock, connectMsMax: ASK_MS_MAX };
    const request = { method: 'GET', path: '/node', timeoutMs: ASK_MS_MAX } as const;
    const { body } = await attemptRequest(target, request, signal);
    return parseNode(Buffer.from(body).toString());
  }

  #tellWaiting(): void {
    this.#news.abort();
    this.#news = new AbortController();
  }
}

function isSame(a: Recipient, b: Recipient): boolean {
  if (a === null || b === null || a === 'here' || b === 'here') return a === b;
  return a.node === b.node && a.address === b.address;
}

function ignore(): void {}
