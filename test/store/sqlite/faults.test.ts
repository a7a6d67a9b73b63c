import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import type { StoreError } from '../../../src/store/errors.ts';
import { unlimitedTenure } from '../../../src/store/lease.ts';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { seededRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { InlineDatabase } from '../../support/fakes/inline-database.ts';
import { faultyStore, type StoreFault } from '../../support/store/faulty-store.ts';
import { limitFileSize, needsPrlimit } from '../../support/store/file-size-limit.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { storeSnapshot, workloadBatch, workloadSnapshots } from '../../support/store/store-workload.ts';

async function journalOf(store: Store): Promise<Journal> {
  const [grant] = await store.acquire([0], 'test');
  assert(grant);
  return new Journal({
    store,
    tenure: unlimitedTenure(grant),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    retryFirstMs: 1,
    retryMaxMs: 2,
  });
}

async function writeThrough(journal: Journal, from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number++) {
    for (const mutation of workloadBatch(number)) {
      if (mutation.kind === 'insert') journal.insert(mutation).catch(() => {});
      else journal.add(mutation);
    }
    await journal.committed();
  }
}

function unhealthy(journal: Journal): Promise<StoreError> {
  return new Promise((resolve) => {
    const off = journal.onHealth(({ error }) => {
      if (!error) return;
      off();
      resolve(error);
    });
  });
}

describe('a full disk', () => {
  test('holds everything up, loses nothing, and work goes on when there is space again', async () => {
    const fixture = await sqliteFixture('inline');
    const database = new InlineDatabase({ kind: 'file', path: fixture.filename, mustExist: false });
    const store = new SqliteStore(database, true);
    const journal = await journalOf(store);
    await writeThrough(journal, 1, 5);
    const pages = Object.values(database.sqlite.prepare('PRAGMA page_count').get() ?? {})[0];
    database.sqlite.exec(`PRAGMA max_page_count = ${pages}`);
    const error = unhealthy(journal);
    let acknowledged = false;
    const rest = writeThrough(journal, 6, 60).then(() => {
      acknowledged = true;
    });
    assert.equal((await error).storeClass, 'full');
    assert.match((await error).message, /full/);
    const { lastSeq } = journal.health;
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(journal.health.lastSeq, lastSeq);
    assert.equal(acknowledged, false);
    // Reading goes on meanwhile.
    assert.equal((await store.findById(1n))?.record.id, 1n);
    database.sqlite.exec('PRAGMA max_page_count = 1000000');
    await rest;
    assert.equal(journal.health.ok, true);
    await journal.drain();
    await store.close();
    await using session = await StoreSession.open(fixture);
    assert.deepEqual(await storeSnapshot(session), (await workloadSnapshots(60))[60]);
    await session.store.close();
    await fixture.dispose();
  });

  test('at any point of a transaction leaves nothing of it', async () => {
    const fixture = await sqliteFixture('inline');
    const database = new InlineDatabase({ kind: 'file', path: fixture.filename, mustExist: false });
    const store = new SqliteStore(database, true);
    await using session = await StoreSession.open({ open: async () => store, dispose: async () => {} });
    const expected = await workloadSnapshots(2);
    await session.commit(...workloadBatch(1));
    const pages = Number(Object.values(database.sqlite.prepare('PRAGMA page_count').get() ?? {})[0]);
    const large = [
      ...workloadBatch(2),
      ...Array.from({ length: 400 }, (_, i) => workloadBatch(100 + i)).flat(),
    ];
    let refusals = 0;
    for (let more = 0; ; more += 3) {
      database.sqlite.exec(`PRAGMA max_page_count = ${pages + more}`);
      const result = await store.commit(session.batch(large));
      if (result.kind === 'committed') break;
      assert(result.kind === 'refused' && result.error.storeClass === 'full');
      refusals++;
      if (refusals % 5 === 1) assert.deepEqual(await storeSnapshot(session), expected[1]);
    }
    assert(refusals > 10, `only ${refusals} refusals`);
    await session.store.close();
    await fixture.dispose();
  });
});

describe('a value that is larger than SQLite takes', () => {
  test('is not tried again for ever: the journal ends, and the next one goes on without it', async () => {
    const fixture = await sqliteFixture('inline');
    const database = new InlineDatabase({ kind: 'file', path: fixture.filename, mustExist: false });
    const store = new SqliteStore(database, true);
    const journal = await journalOf(store);
    await writeThrough(journal, 1, 3);
    database.sqlite.limits.length = 100_000;
    const error = unhealthy(journal);
    journal.add({ kind: 'direct_output', id: 2n, chunkIndex: 1, content: new Uint8Array(100_001) });
    const { storeClass, message } = await error;
    journal.abandon();
    assert.equal(storeClass, 'corrupt');
    assert.match(message, /too big/);
    assert.equal(journal.lost.aborted, true);
    await store.close();
    await using session = await StoreSession.open(fixture);
    assert.deepEqual(await storeSnapshot(session), (await workloadSnapshots(3))[3]);
    await session.commit(...workloadBatch(4));
    await session.store.close();
    await fixture.dispose();
  });
});

describe('the n-th commit going wrong', () => {
  const faults: StoreFault[] = ['refuse', 'refuse_after', 'unknown_before', 'unknown_after', 'throw'];
  for (const fault of faults) {
    test(`with "${fault}" changes nothing in the end, for every n until a run passes`, async () => {
      const batches = 6;
      const expected = (await workloadSnapshots(batches))[batches];
      for (let n = 1; ; n++) {
        const fixture = await sqliteFixture('inline');
        let calls = 0;
        const store = faultyStore(await fixture.open(), (call) =>
          call !== 'lastSeq' && call !== 'commit'
            ? 'none'
            : ++calls === n
              ? call === 'commit'
                ? fault
                : 'throw'
              : 'none',
        );
        const journal = await journalOf(store);
        await writeThrough(journal, 1, batches);
        await journal.drain();
        await store.close();
        const session = await StoreSession.open(fixture);
        assert.deepEqual(await storeSnapshot(session), expected, `n = ${n}`);
        await session.store.close();
        await fixture.dispose();
        if (calls < n) break;
      }
    });
  }
});

const writerPath = fileURLToPath(new URL('../../support/store/store-writer.ts', import.meta.url));

/** A process that writes batches and says what it sees; see test/support/store/store-writer.ts. */
class Writer {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly exited: Promise<void>;
  #linesSeen = 0;
  #hasEnded = false;
  #wake = () => {};

  constructor(filename: string, batches: number, ...pause: string[]) {
    const args = [writerPath, filename, String(batches), ...pause];
    this.child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    assert(this.child.stdout);
    createInterface(this.child.stdout).on('line', (line) => {
      this.lines.push(line);
      this.#wake();
    });
    this.exited = new Promise((resolve) => {
      this.child.once('close', () => {
        this.#hasEnded = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** The next line that matches. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      while (this.#linesSeen < this.lines.length) {
        const line = this.lines[this.#linesSeen++] ?? '';
        if (pattern.test(line)) return line;
      }
      assert(!this.#hasEnded, `the writer ended without ${pattern}: ${this.lines.join(', ')}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  goOn(): void {
    this.child.stdin?.write('\n');
  }

  limitFileSize(bytes: number | 'unlimited'): void {
    limitFileSize(bytes, this.child.pid);
  }

  get acknowledged(): number {
    return Math.max(
      0,
      ...this.lines.filter((line) => line.startsWith('ack ')).map((line) => Number(line.slice(4))),
    );
  }
}

describe('a disk that refuses writes', () => {
  test('holds everything up until it is well again', needsPrlimit, async () => {
    const fixture = await sqliteFixture('thread');
    const writer = new Writer(fixture.filename, 120, 'pause');
    await writer.until(/^ack 1$/);
    writer.limitFileSize(65_536);
    writer.goOn();
    assert.equal(await writer.until(/^stuck/), 'stuck transient');
    const before = writer.acknowledged;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(writer.acknowledged, before);
    writer.limitFileSize('unlimited');
    await writer.until(/^well$/);
    await writer.until(/^ended$/);
    await writer.exited;
    assert.equal(writer.acknowledged, 120);
    await using session = await StoreSession.open(fixture);
    assert.deepEqual(await storeSnapshot(session), (await workloadSnapshots(120))[120]);
    await session.store.close();
    await fixture.dispose();
  });

  test('and a process that dies while it does leaves what was acknowledged', needsPrlimit, async () => {
    const expected = await workloadSnapshots(120);
    const fixture = await sqliteFixture('thread');
    let acknowledged = 0;
    for (const limit of [100_000, 200_000, null]) {
      const writer = new Writer(fixture.filename, 120, 'pause');
      await writer.until(/^ack/);
      if (limit === null) {
        writer.goOn();
        await writer.until(/^ended$/);
      } else {
        writer.limitFileSize(limit);
        writer.goOn();
        await writer.until(/^stuck/);
        writer.child.kill('SIGKILL');
      }
      await writer.exited;
      acknowledged = writer.acknowledged;
      const session = await StoreSession.open(fixture);
      const found = await storeSnapshot(session);
      assert(
        found.lastSeq >= acknowledged && found.lastSeq <= acknowledged + 1,
        `${acknowledged}, ${found.lastSeq}`,
      );
      assert.deepEqual(found, expected[found.lastSeq]);
      await session.store.close();
    }
    assert.equal(acknowledged, 120);
    await fixture.dispose();
  });
});

describe('a process that is killed under load', () => {
  test('has everything that was acknowledged, and at most the batch in flight beyond it', async () => {
    const expected = await workloadSnapshots(150);
    const fixture = await sqliteFixture('thread');
    for (const wanted of [1, 40, 90]) {
      const writer = new Writer(fixture.filename, 150);
      await writer.until(new RegExp(`^ack (?:${wanted}|${wanted + 1}|\\d\\d\\d)$`));
      writer.child.kill('SIGKILL');
      await writer.exited;
      const session = await StoreSession.open(fixture);
      const found = await storeSnapshot(session);
      const { acknowledged } = writer;
      assert(
        found.lastSeq >= acknowledged && found.lastSeq <= acknowledged + 1,
        `${acknowledged}, ${found.lastSeq}`,
      );
      assert.deepEqual(found, expected[found.lastSeq]);
      await session.store.close();
    }
    await fixture.dispose();
  });
});
