import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { NO_CONTROL } from '../../src/model/control.ts';
import type { SubmissionRecord } from '../../src/model/submission.ts';
import { Journal, type JournalOptions } from '../../src/queue/journal/journal.ts';
import { insertOf } from '../../src/store/conformance/mutations.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { StoreError } from '../../src/store/errors.ts';
import { type Tenure, unlimitedTenure } from '../../src/store/lease.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import type { CommitBatch, Store } from '../../src/store/store.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { seededRandom } from '../../src/system/random.ts';
import {
  faultyStore,
  randomFaults,
  type StoreFaults,
  scriptedCommits,
} from '../support/store/faulty-store.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

interface Setup {
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: ManualClock;
  readonly database: MemoryDatabase;
  /** Every batch that was sent to the store, retries included. */
  readonly batches: CommitBatch[];
}

async function setUp(
  faults: StoreFaults = () => 'none',
  options: Partial<JournalOptions> = {},
): Promise<Setup> {
  const database = new MemoryDatabase();
  const batches: CommitBatch[] = [];
  const store = faultyStore(new MemoryStore({ database }), (call, batch) => {
    if (batch) batches.push(batch);
    return faults(call, batch);
  });
  const [grant] = await store.acquire([0], 'test');
  assert(grant);
  const clock = new ManualClock();
  const journal = new Journal({
    store,
    tenure: unlimitedTenure(grant),
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    ...options,
  });
  return { journal, store, clock, database, batches };
}

async function turns(count = 10): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets time pass, a second at a time, until the promise has settled. */
async function passTime<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  promise.then(done, done);
  for (let i = 0; i < 1000 && !settled; i++) {
    await turns();
    if (!settled) clock.advance(1000);
  }
  assert(settled, 'did not settle within 1000 simulated seconds');
  return promise;
}

function submission(fields: Partial<SubmissionRecord> & { readonly id: bigint }) {
  const record = submissionRecord(fields);
  return { record, done: new ChunkSet(record.chunksTotal) };
}

function kinds(batch: CommitBatch | undefined): string[] {
  return batch?.mutations.map(({ kind }) => kind) ?? [];
}

describe('the journal', () => {
  test('acknowledges nothing before the store has answered', async () => {
    const { journal } = await setUp(() => 'hang');
    const heard: string[] = [];
    void journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) }).then(
      () => heard.push('insert'),
      () => {},
    );
    journal.add({
      kind: 'end',
      id: 1n,
      end: { state: 'cancelled', endedAtMs: 1, chunksDone: 0, by: null, reason: null },
    });
    void journal.committed().then(
      () => heard.push('committed'),
      () => {},
    );
    void journal.drain().then(
      () => heard.push('drain'),
      () => {},
    );
    await turns(200);
    assert.deepEqual(heard, []);
    journal.abandon();
  });

  test('takes along what arrives in the same turn, and lets the next batch grow while one is in flight', async () => {
    const { journal, batches } = await setUp(scriptedCommits('delay', 'none'));
    const first = [1n, 2n, 3n].map((id) =>
      journal.insert({ kind: 'insert', record: submissionRecord({ id }) }),
    );
    await turns(2);
    assert.equal(batches.length, 1);
    const second = [4n, 5n].map((id) => journal.insert({ kind: 'insert', record: submissionRecord({ id }) }));
    await Promise.all([...first, ...second]);
    assert.deepEqual(
      batches.map(({ seq, mutations }) => [seq, mutations.length]),
      [
        [1, 3],
        [2, 2],
      ],
    );
  });

  test('goes on after the last batch of its predecessor', async () => {
    const { journal, database, clock } = await setUp();
    await journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) });
    await journal.drain();
    const store = new MemoryStore({ database });
    const [grant] = await store.acquire([0], 'next');
    assert(grant);
    const next = new Journal({
      store,
      tenure: unlimitedTenure(grant),
      clock,
      random: seededRandom(1),
      logger: silentLogger,
    });
    await next.insert({ kind: 'insert', record: submissionRecord({ id: 2n }) });
    assert.equal(await store.lastSeq(0), 2);
  });

  test('gives each insert its own result', async () => {
    const { journal } = await setUp();
    const results = await Promise.all(
      [
        submissionRecord({ id: 1n, prefix: 'a' }),
        submissionRecord({ id: 2n, prefix: 'a' }),
        submissionRecord({ id: 3n }),
      ].map((record) => journal.insert({ kind: 'insert', record })),
    );
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ['inserted', 'exists', 'inserted'],
    );
    assert(results[1]?.kind === 'exists');
    assert.equal(results[1].submission.record.id, 1n);
  });

  test('writes a page once, with what it contains when the batch is cut', async () => {
    const { journal, batches, store } = await setUp();
    const s = submission({ id: 1n, chunksTotal: 5000 });
    await journal.insert({ kind: 'insert', record: s.record });
    for (const index of [0, 1, 4999, 2]) {
      s.done.add(index);
      journal.chunkDone(s, index);
    }
    s.done.add(3);
    await journal.committed();
    assert.deepEqual(kinds(batches[1]), ['page', 'page']);
    assert.deepEqual([...((await store.chunksDone(1n)) ?? [])], [0, 1, 2, 3, 4999]);
  });

  test('writes what nobody waits for every few milliseconds, and with the rest when somebody waits', async () => {
    const { journal, batches, clock } = await setUp();
    const s = submission({ id: 1n, chunksTotal: 50_000 });
    const done = async (index: number) => {
      s.done.add(index);
      journal.chunkDone(s, index);
      await turns();
      return batches.length;
    };
    await journal.insert({ kind: 'insert', record: s.record });
    assert.equal(await done(0), 1);
    assert.equal(await done(1), 1);
    clock.advance(5);
    await turns();
    assert.equal(batches.length, 2);
    assert.equal(await done(5_000), 2);
    await journal.insert({ kind: 'insert', record: submissionRecord({ id: 2n }) });
    assert.deepEqual(kinds(batches[2]), ['page', 'insert']);
    assert.equal(await done(10_000), 3);
    await journal.committed();
    assert.equal(batches.length, 4);
    clock.advance(1_000);
    assert.equal(await done(15_000), 5, 'at once, after a while without any');
    assert.equal(await done(20_000), 5);
    await journal.drain();
    assert.equal(batches.length, 6);
  });

  test('keeps only the last tries of a chunk', async () => {
    const { journal, batches } = await setUp();
    for (const retries of [1, 2, 3]) {
      journal.add({ kind: 'tries', id: 1n, chunkIndex: 7, tries: { retries, disconnects: 0 } });
    }
    await journal.committed();
    assert.deepEqual(batches[0]?.mutations, [
      { kind: 'tries', id: 1n, chunkIndex: 7, tries: { retries: 3, disconnects: 0 } },
    ]);
  });

  test('keeps the order, pages and tries before the end of a submission that failed', async () => {
    const { journal, batches } = await setUp();
    const s = submission({ id: 1n });
    s.done.add(1);
    journal.chunkDone(s, 1);
    journal.add({ kind: 'tries', id: 1n, chunkIndex: 7, tries: { retries: 1, disconnects: 0 } });
    journal.add({
      kind: 'end',
      id: 1n,
      end: { state: 'cancelled', endedAtMs: 1, chunksDone: 1, by: null, reason: null },
    });
    await journal.committed();
    assert.deepEqual(kinds(batches[0]), ['page', 'tries', 'end']);
  });

  test('writes no pages and tries of a submission that completes in the same batch', async () => {
    const { journal, batches } = await setUp();
    const s = submission({ id: 1n, prefix: null });
    s.done.add(7);
    journal.chunkDone(s, 7);
    journal.add({ kind: 'tries', id: 1n, chunkIndex: 7, tries: { retries: 1, disconnects: 0 } });
    journal.add({ kind: 'direct_output', id: 1n, chunkIndex: 7, content: new Uint8Array([1]) });
    journal.add({ kind: 'end', id: 1n, end: { state: 'completed', endedAtMs: 1 } });
    await journal.committed();
    assert.deepEqual(kinds(batches[0]), ['direct_output', 'end']);
  });

  test('cuts a batch at its number of mutations and at its bytes', async () => {
    const byCount = await setUp(undefined, { batchMutationsMax: 3 });
    const byBytes = await setUp(undefined, { batchBytesMax: 5000 });
    for (let id = 1n; id <= 7n; id++) {
      const metadata = new Uint8Array(id === 4n ? 10_000 : 2000);
      for (const { journal } of [byCount, byBytes]) {
        void journal.insert({ kind: 'insert', record: submissionRecord({ id, metadata }) });
      }
    }
    for (const { journal } of [byCount, byBytes]) await journal.committed();
    assert.deepEqual(
      byCount.batches.map(({ mutations }) => mutations.length),
      [3, 3, 1],
    );
    assert.deepEqual(
      byBytes.batches.map(({ mutations }) => mutations.length),
      [2, 1, 1, 2, 1],
    );
  });

  test('never parts what is added together', async () => {
    for (const limits of [{ batchMutationsMax: 2 }, { batchBytesMax: 100 }]) {
      const { journal, batches } = await setUp(undefined, limits);
      journal.add({ kind: 'control', id: 1n, control: NO_CONTROL });
      journal.add({ kind: 'retry', id: 2n }, { kind: 'control', id: 2n, control: NO_CONTROL });
      journal.add({ kind: 'control', id: 3n, control: NO_CONTROL });
      await journal.committed();
      const together = batches.find((batch) => kinds(batch).includes('retry'));
      const at = kinds(together).indexOf('retry');
      assert.deepEqual(kinds(together).slice(at, at + 2), ['retry', 'control']);
      assert.equal(batches.flatMap(({ mutations }) => mutations).length, 4);
      assert.ok(batches.length > 1);
    }
  });

  test('never has a chunk done on disk before its output, however the batches are cut', async () => {
    const { journal, batches } = await setUp(undefined, { batchMutationsMax: 2 });
    const s = submission({ id: 1n, prefix: null });
    for (let index = 0; index < 8; index++) {
      journal.add({ kind: 'direct_output', id: 1n, chunkIndex: index, content: new Uint8Array([index]) });
      s.done.add(index);
      journal.chunkDone(s, index);
    }
    await journal.committed();
    const outputs: number[] = [];
    let pages = 0;
    for (const mutation of batches.flatMap((batch) => batch.mutations)) {
      if (mutation.kind === 'direct_output') outputs.push(mutation.chunkIndex);
      if (mutation.kind !== 'page') continue;
      pages++;
      assert(mutation.content instanceof Uint8Array);
      const done = new ChunkSet(10);
      done.setPage(0, mutation.content);
      for (const index of done) assert(outputs.includes(index), `chunk ${index} is done without output`);
    }
    assert.equal(pages, 1);
    assert.deepEqual(outputs, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.equal(journal.health.mutationsPending, 0);
    assert.equal(journal.health.bytesPending, 0);
  });

  test('tries a refused batch again, the same one, for as long as it takes, and says so', async () => {
    const { journal, batches, clock } = await setUp(scriptedCommits(...Array(30).fill('full'), 'refuse'));
    const told: boolean[] = [];
    journal.onHealth(({ ok }) => told.push(ok));
    const insert = journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) });
    await turns();
    assert.equal(journal.health.ok, false);
    assert.equal(journal.health.error?.storeClass, 'full');
    assert.equal(journal.health.stuckSinceMs, 0);
    const later = journal.insert({ kind: 'insert', record: submissionRecord({ id: 2n }) });
    assert.deepEqual(await passTime(clock, insert), { kind: 'inserted' });
    await later;
    assert.deepEqual(
      batches.map(({ seq }) => seq),
      [...Array(32).fill(1), 2],
    );
    assert.deepEqual(batches[31]?.mutations, batches[0]?.mutations);
    assert.equal(journal.health.ok, true);
    assert.equal(journal.health.stuckSinceMs, null);
    assert.deepEqual([told[0], told.at(-1)], [false, true]);
  });

  test('says so when a commit is not answered in time', async () => {
    const { journal, clock } = await setUp(() => 'hang', { slowAfterMs: 2000 });
    journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) }).catch(() => {});
    await turns();
    clock.advance(1999);
    assert.equal(journal.health.ok, true);
    clock.advance(1);
    assert.equal(journal.health.ok, false);
    assert.match(journal.health.error?.message ?? '', /no answer from the store for 2000 ms/);
    journal.abandon();
  });

  for (const fault of ['unknown_before', 'unknown_after', 'refuse_after', 'throw'] as const) {
    test(`settles a batch before anything else when the store answers "${fault}"`, async () => {
      const { journal, batches, clock, store } = await setUp(scriptedCommits('none', fault));
      await journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n, prefix: 'a' }) });
      const results = Promise.all([
        journal.insert({ kind: 'insert', record: submissionRecord({ id: 2n, prefix: 'a' }) }),
        journal.insert({ kind: 'insert', record: submissionRecord({ id: 3n, prefix: 'b' }) }),
      ]);
      await turns();
      const later = journal.insert({ kind: 'insert', record: submissionRecord({ id: 4n }) });
      assert.deepEqual(
        (await passTime(clock, results)).map(({ kind }) => kind),
        ['exists', 'inserted'],
      );
      await later;
      assert.deepEqual(
        batches.map(({ seq }) => seq),
        [1, 2, 2, 3],
      );
      assert.equal(await store.lastSeq(0), 3);
    });
  }

  test('asks for the last batch until it hears it', async () => {
    const script = scriptedCommits('unknown_after');
    let asked = 0;
    const { journal, clock, batches } = await setUp((call) => {
      if (call === 'lastSeq' && ++asked < 5) return 'throw';
      return script(call);
    });
    await passTime(clock, journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) }));
    assert.equal(asked, 5);
    assert.equal(batches.length, 2);
  });

  test('ends when another queue has taken over, and never retries', async () => {
    const { journal, database, batches } = await setUp();
    await new MemoryStore({ database }).acquire([0], 'usurper');
    const insert = journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) });
    const committed = assert.rejects(journal.committed(), { code: 'STORE_FENCED' });
    await assert.rejects(insert, { code: 'STORE_FENCED' });
    await committed;
    assert(journal.lost.aborted);
    assert(journal.lost.reason instanceof StoreError);
    assert.equal(batches.length, 1);
    assert.equal(journal.health.ok, false);
    await assert.rejects(journal.insert({ kind: 'insert', record: submissionRecord({ id: 2n }) }), {
      code: 'STORE_FENCED',
    });
    await assert.rejects(journal.drain(), { code: 'STORE_FENCED' });
  });

  test('ends when the store is corrupt, or lost', async () => {
    const lost = new AbortController();
    const inner = new MemoryStore();
    const corrupt: Store = Object.assign(
      faultyStore(inner, () => 'none'),
      {
        commit: async () => ({ kind: 'refused', error: new StoreError('corrupt', 'malformed') }) as const,
        lost: lost.signal,
      },
    );
    const options = { clock: new ManualClock(), random: seededRandom(1), logger: silentLogger };
    const grant = { shard: 0, epoch: 1, lastSeq: 0, highestId: 0n };
    const first = new Journal({ store: corrupt, tenure: unlimitedTenure(grant), ...options });
    await assert.rejects(first.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) }), {
      code: 'STORE_CORRUPT',
    });
    const second = new Journal({ store: corrupt, tenure: unlimitedTenure(grant), ...options });
    const insert = second.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) });
    lost.abort(new StoreError('transient', 'its thread died'));
    await assert.rejects(insert, /its thread died/);
    assert(second.lost.aborted);
  });

  test('never says of what comes after its end that it is committed', async () => {
    const { journal } = await setUp();
    await journal.drain();
    await journal.committed();
    journal.add({
      kind: 'end',
      id: 1n,
      end: { state: 'cancelled', endedAtMs: 1, chunksDone: 0, by: null, reason: null },
    });
    await assert.rejects(journal.committed(), StoreError);
  });

  test('drains everything, and abandons at once', async () => {
    const { journal, store, clock } = await setUp(scriptedCommits('refuse', 'delay'));
    const inserts = [1n, 2n].map((id) =>
      journal.insert({ kind: 'insert', record: submissionRecord({ id }) }),
    );
    await passTime(clock, journal.drain());
    await Promise.all(inserts);
    await journal.drain();
    assert.notEqual(await store.findById(2n), null);
    await assert.rejects(
      journal.insert({ kind: 'insert', record: submissionRecord({ id: 3n }) }),
      StoreError,
    );
    assert.equal(journal.lost.aborted, false);
    assert.equal(clock.timersPending, 0);

    const other = await setUp(() => 'refuse');
    const insert = assert.rejects(
      other.journal.insert({ kind: 'insert', record: submissionRecord({ id: 1n }) }),
      StoreError,
    );
    await turns();
    const drain = assert.rejects(other.journal.drain(), StoreError);
    other.journal.abandon();
    other.journal.abandon();
    await insert;
    await drain;
    assert.equal(other.clock.timersPending, 0);
  });

  test('brings every mutation to the store exactly once and in order, whatever goes wrong', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const { journal, clock, store, database } = await setUp(randomFaults(seededRandom(seed), 0.5), {
        batchMutationsMax: 4,
      });
      const s = submission({ id: 1n, chunksTotal: 9000 });
      await passTime(clock, journal.insert({ kind: 'insert', record: s.record }));
      const inserts: Promise<unknown>[] = [];
      const reopened = new MemoryStore({ database });
      for (let i = 0; i < 40; i++) {
        const index = (i * 997) % 9000;
        s.done.add(index);
        journal.chunkDone(s, index);
        journal.add({ kind: 'tries', id: 1n, chunkIndex: 1, tries: { retries: i, disconnects: 0 } });
        if (i % 5 === 0) {
          inserts.push(journal.insert({ kind: 'insert', record: submissionRecord({ id: BigInt(100 + i) }) }));
        }
        if (i % 7 === 0) await turns(1);
        const onDisk = await reopened.chunksDone(1n);
        const committed = journal.chunksCommitted(s);
        assert(committed <= (onDisk?.count ?? 0), `seed ${seed}: ${committed} chunks`);
      }
      await passTime(clock, Promise.all([...inserts, journal.committed()]));
      assert.equal(journal.chunksCommitted(s), s.done.count, `seed ${seed}`);
      const row = database.rows.get(1n);
      assert.equal(row?.tries.get(1)?.retries, 39, `seed ${seed}`);
      assert.deepEqual([...((await reopened.chunksDone(1n)) ?? [])], [...s.done], `seed ${seed}`);
      assert.equal(database.rows.size, 9, `seed ${seed}`);
      await passTime(clock, journal.drain());
      await store.close();
    }
  });
});

test('a batch that is sent once more has renewed the lease when it was sent first', async () => {
  const renewed: number[] = [];
  const clock = new ManualClock();
  const tenure: Tenure = {
    ...unlimitedTenure({ shard: 0, epoch: 1, lastSeq: 0, highestId: 0n }),
    renewed: ({ monotonicMs }) => void renewed.push(monotonicMs),
  };
  const { journal } = await setUp(scriptedCommits('none', 'unknown_after', 'refuse'), { clock, tenure });
  for (const [id, atMs] of [
    [1n, 100],
    [2n, 200],
  ] as const) {
    clock.advance(atMs - clock.monotonicMs());
    await passTime(clock, journal.insert(insertOf(id)));
  }
  assert.ok(clock.monotonicMs() > 1_000, 'it took some tries');
  assert.deepEqual(renewed, [100, 200]);
});
