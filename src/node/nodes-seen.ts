import type { LeaseSight, NodePresent } from '../store/lease.ts';

/** One that is gone is remembered for so long. */
const GONE_MS_MAX = 3_600_000;
/** Of those that are gone. */
const GONE_MAX = 64;
/** A node that disappears while its lease has more than this share left has ended in good order. */
const ORDERLY_SHARE = 1 / 10;

/** Another node, as the store shows it. */
export interface NodeSeen extends Pick<NodePresent, 'holder' | 'address'> {
  /** It takes shards. */
  readonly isPresent: boolean;
  /** Leases that it has. */
  readonly leases: number;
  /** When it last wrote anything, in milliseconds since 1970. */
  readonly aliveMs: number;
  /** It is not there any more: it has left, or its leases have run out; and since when. */
  readonly gone: { readonly hasLeft: boolean; readonly sinceMs: number } | null;
}

/** The other nodes since this one is there, those that are gone included. */
export class NodesSeen {
  readonly #self: string;
  readonly #leaseMs: number;
  #all: ReadonlyMap<string, NodeSeen> = new Map();

  constructor(self: string, leaseMs: number) {
    this.#self = self;
    this.#leaseMs = leaseMs;
  }

  get all(): readonly NodeSeen[] {
    return [...this.#all.values()];
  }

  look({ leases, nodes }: LeaseSight, nowMs: number): void {
    const seen = new Map<string, NodeSeen>();
    const sign = (node: Pick<NodePresent, 'holder' | 'address' | 'leftMs'>, leaseMs: number) => {
      const aliveMs = nowMs - Math.max(0, leaseMs - node.leftMs);
      const before = seen.get(node.holder) ?? { isPresent: false, leases: 0, aliveMs };
      const { holder, address } = node;
      seen.set(holder, {
        ...before,
        holder,
        address,
        aliveMs: Math.max(aliveMs, before.aliveMs),
        gone: null,
      });
    };
    for (const node of nodes) {
      sign(node, this.#leaseMs);
      seen.set(node.holder, { ...seen.get(node.holder)!, isPresent: true });
    }
    for (const lease of leases) {
      sign(lease, lease.leaseMs);
      const { leases: before, ...node } = seen.get(lease.holder)!;
      seen.set(lease.holder, { ...node, leases: before + 1 });
    }
    const addresses = new Set([...seen.values()].map(({ address }) => address));
    const gone = [...this.#all.values()]
      // Another one has come in its place.
      .filter(({ holder, address }) => !seen.has(holder) && !addresses.has(address))
      .map((node) => ({ ...node, isPresent: false, leases: 0, gone: node.gone ?? this.#goneAt(node, nowMs) }))
      .filter((node) => nowMs - node.gone.sinceMs < GONE_MS_MAX)
      .sort((a, b) => b.gone.sinceMs - a.gone.sinceMs);
    for (const node of gone.slice(0, GONE_MAX)) seen.set(node.holder, node);
    seen.delete(this.#self);
    this.#all = seen;
  }

  #goneAt({ aliveMs }: NodeSeen, nowMs: number): NonNullable<NodeSeen['gone']> {
    const leftMs = aliveMs + this.#leaseMs - nowMs;
    return { hasLeft: leftMs > this.#leaseMs * ORDERLY_SHARE, sinceMs: nowMs };
  }
}
