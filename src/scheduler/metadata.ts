import type { SubmissionId } from '../model/ids.ts';
import type { StrategicMetadata } from '../model/submission.ts';
import { SortedMap } from '../system/sorted-map.ts';

/** Whoever counts what is in flight of a pair for himself. */
export interface InFlightListener {
  /** The in-flight count has fallen below what somebody counted. */
  inFlightFell(): void;
}

/** What carries strategic metadata: a submission. */
export interface Carrier {
  readonly record: { readonly id: SubmissionId };
}

/** A key of strategic metadata. */
export interface MetaKey<C extends Carrier> {
  readonly name: string;
  readonly values: SortedMap<MetaValue<C>>;
  /** Plans that rank by it. */
  users: number;
}

/**
 * A pair (key, value) of strategic metadata: one object for all who carry it, so that counting it on the hot path
 * hashes neither text nor bigint.
 */
export class MetaValue<C extends Carrier> {
  readonly key: MetaKey<C>;
  readonly value: bigint;
  /** By their ids. */
  readonly carriers = new SortedMap<C>();
  /** Reserved chunks of its carriers. */
  inFlight = 0;
  /** Chunks of its carriers that could be handed out. */
  waiting = 0;
  /** Chunks of its carriers that are neither done nor set aside. */
  backlog = 0;
  /** Chunks that were done while a carrier had it. */
  done = 0;
  /** Nobody counts more than this for it; those who do have been told, and have yet to look. */
  countedMax = 0;
  readonly listeners: InFlightListener[] = [];

  constructor(key: MetaKey<C>, value: bigint) {
    this.key = key;
    this.value = value;
  }

  /** Nobody needs to be told: see `Rank`. */
  inFlightRises(): void {
    this.inFlight++;
  }

  inFlightFalls(): void {
    if (--this.inFlight >= this.countedMax) return;
    this.countedMax = this.inFlight;
    for (let i = 0; i < this.listeners.length; i++) this.listeners[i]!.inFlightFell();
  }

  /** Somebody counts `count` for it from now on, and wants to be told when that is too much. */
  counted(count: number): void {
    if (count > this.countedMax) this.countedMax = count;
  }
}

/** Of a carrier's pairs the one with that key. */
export function pairOf<C extends Carrier>(
  values: readonly MetaValue<C>[],
  name: string,
): MetaValue<C> | undefined {
  for (const pair of values) if (pair.key.name === name) return pair;
  return undefined;
}

/** Every pair that an open submission carries, and every key that a plan ranks by. */
export class MetaTable<C extends Carrier> {
  /** Another number whenever `isCarried` changes for some key. */
  keysVersion = 0;
  readonly #keys = new Map<string, MetaKey<C>>();

  /** The pairs of a carrier that is about to `enter`. */
  intern(metadata: StrategicMetadata): readonly MetaValue<C>[] {
    const values: MetaValue<C>[] = [];
    for (const [name, value] of metadata) values.push(this.#intern(name, value));
    return values;
  }

  /** A carrier comes, with the pairs that `intern` gave. */
  enter(carrier: C, values: readonly MetaValue<C>[]): void {
    for (const metaValue of values) metaValue.carriers.set(carrier.record.id, carrier);
  }

  /** A carrier goes, with nothing of it in flight any more. */
  leave(carrier: C, values: readonly MetaValue<C>[]): void {
    for (const metaValue of values) this.#leave(carrier, metaValue);
  }

  /** A carrier has other pairs from now on, that `intern` gave, and takes along what is in flight of it. */
  move(carrier: C, from: readonly MetaValue<C>[], to: readonly MetaValue<C>[], inFlight: number): void {
    for (const metaValue of to) {
      if (from.includes(metaValue)) continue;
      metaValue.carriers.set(carrier.record.id, carrier);
      for (let i = 0; i < inFlight; i++) metaValue.inFlightRises();
    }
    for (const metaValue of from) {
      if (to.includes(metaValue)) continue;
      for (let i = 0; i < inFlight; i++) metaValue.inFlightFalls();
      this.#leave(carrier, metaValue);
    }
  }

  /** Whether any carrier has the key. */
  isCarried(name: string): boolean {
    return (this.#keys.get(name)?.values.size ?? 0) > 0;
  }

  /** A plan begins to rank by a key. */
  useKey(name: string): MetaKey<C> {
    const key = this.#key(name);
    key.users++;
    return key;
  }

  /** The plan is gone. */
  releaseKey(key: MetaKey<C>): void {
    key.users--;
    this.#dropIfUnused(key);
  }

  /**
   * Those that carry all pairs, at least one, ids ascending. Looks through the rarest pair only. Carriers may come and go
   * meanwhile: those that stay are found once.
   */
  *carrying(pairs: ReadonlyMap<string, bigint>): Generator<C, void> {
    const sets: SortedMap<C>[] = [];
    for (const [name, value] of pairs) {
      const carriers = this.#keys.get(name)?.values.get(value)?.carriers;
      if (carriers === undefined) return;
      sets.push(carriers);
    }
    const [rarest, ...others] = sets.sort((a, b) => a.size - b.size);
    for (const carrier of rarest?.values() ?? []) {
      if (others.every((set) => set.has(carrier.record.id))) yield carrier;
    }
  }

  key(name: string): MetaKey<C> | undefined {
    return this.#keys.get(name);
  }

  /** For checks: every key. */
  get keys(): IterableIterator<MetaKey<C>> {
    return this.#keys.values();
  }

  #leave(carrier: C, metaValue: MetaValue<C>): void {
    metaValue.carriers.delete(carrier.record.id);
    if (metaValue.carriers.size > 0) return;
    metaValue.key.values.delete(metaValue.value);
    if (metaValue.key.values.size === 0) this.keysVersion++;
    this.#dropIfUnused(metaValue.key);
  }

  #key(name: string): MetaKey<C> {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = { name, values: new SortedMap(), users: 0 };
      this.#keys.set(name, key);
    }
    return key;
  }

  #intern(name: string, value: bigint): MetaValue<C> {
    const key = this.#key(name);
    let metaValue = key.values.get(value);
    if (metaValue === undefined) {
      metaValue = new MetaValue(key, value);
      if (key.values.size === 0) this.keysVersion++;
      key.values.set(value, metaValue);
    }
    return metaValue;
  }

  #dropIfUnused(key: MetaKey<C>): void {
    if (key.users === 0 && key.values.size === 0) this.#keys.delete(key.name);
  }
}
