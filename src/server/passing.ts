import type { Socket } from 'node:net';
import type { ShardId } from '../model/ids.ts';
import { firstRequest } from '../net/relay/first-request.ts';
import { Relay } from '../net/relay/relay.ts';
import type { Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import type { ShardPlaces } from './across/across.ts';
import type { NodeAddress } from './across/fan-out.ts';
import type { QueuePlace } from './across/forwarding.ts';
import { OtherNode } from './other-node.ts';

export interface PassingOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A connection waits for a node that has its shard for at most so long. */
  readonly holdMs: number;
  /** How many shards there are. */
  shardsTotal(): number;
  /** Who is to answer a request for that target: this node, the one that has the shard, or any that has one. */
  whoseIs(target: string): Whose;
  /** Whether that waits for as long as connections do; else only while it may be on its way from one node to the next. */
  isPatient(target: string): boolean;
}

export type Whose = 'here' | ShardId | 'any';

/** To whom connections of a shard go: another node, this one, or nobody that is known of. */
export type Recipient = NodeAddress | 'here' | null;

/** A shard that is open nowhere for longer than this is not on its way from one node to the next. */
export const HAND_OVER_MS_MAX = 2_000;
/** How long consumers whose connections are passed on may take to answer the close frame when this node stops. */
const CLOSE_GRACE_MS = 250;
/** A node that gives its lease away ends its connections itself within this time, with the answers that are due. */
const CUT_AFTER_MS = 250;

/**
 * Passes connections on to the node that has the shard of their first request, or lets them wait for it; those that begin
 * with a request about this node, or for one of its own shards, stay here. The other node is asked first whether it has the
 * shard, at each change: an address that leads elsewhere, to this node in the worst case, would send connections round in
 * circles.
 */
export class Passing {
  readonly #o: PassingOptions;
  readonly #relay: Relay;
  /** Of the shards that somebody has. */
  readonly #recipients = new Map<ShardId, OtherNode | 'here'>();
  readonly #nodes = new Map<string, OtherNode>();
  /** Since when nobody has those that somebody had before, on the monotonic clock. */
  readonly #nobodySince = new Map<ShardId, number>();
  /** When it looked at a shard for the first time. */
  #beganMs: number | null = null;
  #shardsHere = 0;
  #isStopped = false;
  #requests = 0;
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

  /** Single requests that were sent on, so far. */
  get requests(): number {
    return this.#requests;
  }

  /** Connections of the shard go there from now on. */
  lookAt(shard: ShardId, recipient: Recipient): void {
    this.#beganMs ??= this.#o.clock.monotonicMs();
    const before = this.#recipients.get(shard) ?? null;
    if (isSame(before, recipient)) return;
    const closedMs = this.#closedSinceMs(shard, before) ?? this.#o.clock.monotonicMs();
    this.#nobodySince.delete(shard);
    if (before === 'here') this.#shardsHere--;
    else if (before !== null) this.#leave(before, shard);
    if (recipient === null) {
      this.#recipients.delete(shard);
      this.#nobodySince.set(shard, closedMs);
    } else if (recipient === 'here') {
      this.#recipients.set(shard, 'here');
      this.#shardsHere++;
    } else {
      const node = this.#nodeAt(recipient);
      this.#recipients.set(shard, node);
      node.expect(shard, closedMs);
    }
    this.#tellWaiting();
  }

  /** What is done with a connection that has just come; undefined: it stays here, as all of them do. */
  get connection(): ((socket: Socket, serve: () => void) => void) | undefined {
    return this.#shardsHere === this.#o.shardsTotal() ? undefined : this.#take;
  }

  readonly #take = (socket: Socket, serve: () => void): void => void this.#connected(socket, serve);

  /** Other nodes that have shards, whether or not they can be reached. */
  get others(): readonly NodeAddress[] {
    return this.#nodes.size === 0 ? NOBODY : [...this.#nodes.values()];
  }

  /** Where all shards are, as far as is known. */
  get places(): ShardPlaces {
    const here: ShardId[] = [];
    const elsewhere = new Map<NodeAddress, ShardId[]>();
    for (const [shard, recipient] of this.#recipients) {
      if (recipient === 'here') here.push(shard);
      else elsewhere.set(recipient, [...(elsewhere.get(recipient) ?? []), shard]);
    }
    return { here, elsewhere, nowhere: this.#o.shardsTotal() - this.#recipients.size };
  }

  /** Shards that are open on no node, as far as is known, for longer than a hand-over takes. */
  get shardsMissing(): number {
    const beforeMs = this.#o.clock.monotonicMs() - HAND_OVER_MS_MAX;
    const untouched = this.#o.shardsTotal() - this.#recipients.size - this.#nobodySince.size;
    let missing = (this.#beganMs ?? Number.POSITIVE_INFINITY) < beforeMs ? untouched : 0;
    for (const sinceMs of this.#nobodySince.values()) if (sinceMs < beforeMs) missing++;
    for (const [shard, recipient] of this.#recipients) {
      const sinceMs = this.#closedSinceMs(shard, recipient);
      if (sinceMs !== null && sinceMs < beforeMs) missing++;
    }
    return missing;
  }

  /** null: it is open. */
  #closedSinceMs(shard: ShardId, recipient: OtherNode | 'here' | null): number | null {
    if (recipient === 'here') return null;
    if (recipient !== null) return recipient.closedSinceMs(shard);
    return this.#nobodySince.get(shard) ?? this.#beganMs;
  }

  /** Who has the shard, as far as is known; null: nobody. */
  ownerOf(shard: ShardId): NodeAddress | 'here' | null {
    return this.#recipients.get(shard) ?? null;
  }

  /**
   * Where single requests for the shard go, as soon as it is open somewhere; null: nowhere, for longer than they may wait.
   *
   * @param target of the request
   */
  async placeOf(shard: ShardId, target: string): Promise<QueuePlace> {
    const to = await this.#route(shard, this.#untilMs(shard, target));
    if (to === null) return this.#isHere(shard) ? 'here' : null;
    this.#requests++;
    return to.at;
  }

  /**
   * A connection that turned out to be for the shard after its first request.
   *
   * @param head what has come of it and is not answered
   * @returns whether it is passed on
   */
  async pass(socket: Socket, head: Uint8Array, shard: ShardId): Promise<boolean> {
    socket.pause().on('error', ignore);
    const to = await this.#route(shard, this.#o.clock.monotonicMs() + this.#o.holdMs);
    return socket.destroyed || (to !== null && (await this.#relay.pass(socket, head, to.at, shard)));
  }

  async #connected(socket: Socket, serve: () => void): Promise<void> {
    const { clock, whoseIs } = this.#o;
    socket.on('error', ignore);
    const first = await firstRequest(socket, clock);
    if (first === null) return;
    const { head, target } = first;
    const whose = target === null ? 'here' : whoseIs(target);
    const untilMs = this.#untilMs(whose, target ?? '');
    for (;;) {
      const to = await this.#route(whose, untilMs);
      if (socket.destroyed) return;
      if (to === null) break;
      if (await this.#relay.pass(socket, head, to.at, whose === 'any' ? to.node : whose)) return;
      to.doubt();
    }
    socket.off('error', ignore);
    socket.unshift(head);
    serve();
    socket.resume();
  }

  /** What the other nodes have told before may not be so any more. */
  doubtOthers(): void {
    for (const node of this.#nodes.values()) node.doubt();
  }

  /** Ends what is passed on, consumers in good order; what waits is for this node to answer. Resolves when nothing is passed on. */
  async stop(): Promise<void> {
    for (const shard of [...this.#recipients.keys()]) this.lookAt(shard, null);
    this.#isStopped = true;
    this.#tellWaiting();
    await this.#relay.closeAll(CLOSE_GRACE_MS);
  }

  #untilMs(whose: Whose, target: string): number {
    const nowMs = this.#o.clock.monotonicMs();
    const untilMs = nowMs + this.#o.holdMs;
    if (whose === 'here' || this.#o.isPatient(target)) return untilMs;
    return Math.min(untilMs, (this.#closedFromMs(whose) ?? nowMs) + HAND_OVER_MS_MAX);
  }

  /** Since when it has been open nowhere; null: it is. */
  #closedFromMs(whose: ShardId | 'any'): number | null {
    if (whose !== 'any') return this.#closedSinceMs(whose, this.#recipients.get(whose) ?? null);
    const since = [...this.#recipients, ...this.#nobodySince].map(([shard]) => this.#closedFromMs(shard));
    if (since.includes(null)) return null;
    return Math.max(this.#beganMs ?? Number.NEGATIVE_INFINITY, ...since.filter((ms) => ms !== null));
  }

  /** Where to pass a connection on to; null: this node answers, because it has it, or nobody within that time. */
  async #route(whose: Whose, untilMs: number): Promise<OtherNode | null> {
    const { clock } = this.#o;
    for (;;) {
      if (this.#isStopped || whose === 'here' || this.#isHere(whose)) return null;
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0) return null;
      const to = this.#confirmed(whose);
      if (to !== null) return to;
      await sleep(clock, leftMs, this.#news.signal).catch(ignore);
    }
  }

  #isHere(whose: ShardId | 'any'): boolean {
    return whose === 'any' ? this.#shardsHere > 0 : this.#recipients.get(whose) === 'here';
  }

  #confirmed(whose: ShardId | 'any'): OtherNode | null {
    if (whose === 'any') {
      for (const node of this.#nodes.values()) if (node.hasAny) return node;
      return null;
    }
    const recipient = this.#recipients.get(whose);
    return recipient !== undefined && recipient !== 'here' && recipient.has(whose) ? recipient : null;
  }

  #nodeAt({ node, address }: NodeAddress): OtherNode {
    let known = this.#nodes.get(node);
    if (known === undefined) {
      const { clock, logger } = this.#o;
      known = new OtherNode({ node, address, clock, logger, confirmed: () => this.#tellWaiting() });
      this.#nodes.set(node, known);
    }
    return known;
  }

  #leave(node: OtherNode, shard: ShardId): void {
    node.forget(shard);
    this.#cutSoon(shard);
    if (node.size > 0) return;
    this.#nodes.delete(node.node);
    this.#cutSoon(node.node);
  }

  #cutSoon(kind: ShardId | string): void {
    const cut = this.#relay.cutter(kind);
    if (cut !== null) this.#o.clock.after(CUT_AFTER_MS, cut, { unref: true });
  }

  #tellWaiting(): void {
    this.#news.abort();
    this.#news = new AbortController();
  }
}

const NOBODY: readonly NodeAddress[] = [];

/** A node keeps its name and its address for as long as it lives. */
function isSame(before: OtherNode | 'here' | null, now: Recipient): boolean {
  if (before === null || before === 'here' || now === null || now === 'here') return before === now;
  return before.node === now.node;
}

function ignore(): void {}
