import assert from 'node:assert/strict';
import { SHARDS } from '../../model/shard.ts';
import { StoreError } from '../errors.ts';
import type { ShardGrant } from '../lease.ts';
import type { CommitBatch, InsertResult, LoadedSubmission, Mutation, Store } from '../store.ts';

/** What opens the same data again and again; a store must be closed before the next is opened. */
export interface StoreFixture {
  open(): Promise<Store>;
  dispose(): Promise<void>;
}

/** A store that is acquired, driven as the journal does it: refused batches again, unknown ones settled. */
export class StoreSession implements AsyncDisposable {
  readonly store: Store;
  readonly grant: ShardGrant;
  readonly #fixture: StoreFixture;
  seq: number;

  private constructor(fixture: StoreFixture, store: Store, grant: ShardGrant) {
    this.#fixture = fixture;
    this.store = store;
    this.grant = grant;
    this.seq = grant.lastSeq;
  }

  static async open(fixture: StoreFixture): Promise<StoreSession> {
    const store = await fixture.open();
    try {
      const [grant] = await store.acquire([0], 'test');
      assert(grant);
      return new StoreSession(fixture, store, grant);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  batch(mutations: readonly Mutation[]): CommitBatch {
    return { shard: 0, epoch: this.grant.epoch, seq: this.seq + 1, mutations };
  }

  /** As the next batch; its insert results. */
  async commit(...mutations: Mutation[]): Promise<readonly InsertResult[]> {
    const results = await this.send(this.batch(mutations));
    this.seq++;
    return results;
  }

  async send(batch: CommitBatch): Promise<readonly InsertResult[]> {
    for (let tries = 0; tries < 100; tries++) {
      const result = await this.store.commit(batch).catch((error: unknown) => {
        assert(error instanceof StoreError);
        return { kind: 'unknown', error } as const;
      });
      if (result.kind === 'committed') return result.inserts;
      if (result.error.storeClass !== 'transient' && result.error.storeClass !== 'full') throw result.error;
      if (result.kind === 'unknown') {
        const lastSeq = await this.read((store) => store.lastSeq(batch.shard));
        assert(lastSeq === batch.seq || lastSeq === batch.seq - 1, `the last batch is ${lastSeq}`);
      }
    }
    throw new Error('the store takes nothing');
  }

  /** Until it succeeds. */
  async read<T>(read: (store: Store) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await read(this.store);
      } catch (error) {
        if (!(error instanceof StoreError && error.storeClass === 'transient') || tries === 100) throw error;
      }
    }
  }

  /** Of all shards, by id. */
  async loadAll(): Promise<LoadedSubmission[]> {
    const shards =
      this.store.leases === undefined ? [0] : Array.from({ length: SHARDS }, (_, shard) => shard);
    const all: LoadedSubmission[] = [];
    for await (const piece of this.store.load(shards)) all.push(...piece);
    return all.sort((a, b) => (a.record.id < b.record.id ? -1 : 1));
  }

  /** Closes the store and opens the same data again, as after a restart. */
  async reopen(): Promise<StoreSession> {
    await this.store.close();
    return StoreSession.open(this.#fixture);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}

/** What a loaded submission is, in values that `deepEqual` compares. */
export function plainLoaded({ record, done, tries, failed, control }: LoadedSubmission) {
  return {
    record,
    control,
    done: [...done],
    failed: [...failed],
    tries: [...tries].sort(([a], [b]) => a - b),
  };
}
