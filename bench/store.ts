/**
 * What the store costs: commits, inserts in group commit, completions, loading, bytes.
 *
 *     npm run bench -- store [--store postgres] [--json] [--quick]
 *
 * With --store postgres commits, inserts and completions are measured on PostgreSQL as well.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChunkSet, PAGE_CHUNKS } from '../src/model/chunk-set.ts';
import type { SubmissionRecord } from '../src/model/submission.ts';
import { Journal } from '../src/queue/journal/journal.ts';
import { submissionRecord } from '../src/store/conformance/records.ts';
import { openStore } from '../src/store/index.ts';
import { unlimitedTenure } from '../src/store/lease.ts';
import { encodeMutations } from '../src/store/sqlite/codec/batch-codec.ts';
import { openSqliteStore } from '../src/store/sqlite/sqlite-store.ts';
import type { Mutation, Store } from '../src/store/store.ts';
import { silentLogger } from '../src/system/log/logger.ts';
import { seededRandom, systemRandom, uuidV7 } from '../src/system/random.ts';
import { systemClock } from '../src/system/time/clock.ts';
import { benchArguments } from './support/arguments.ts';
import { bareFsyncsMs } from './support/bare-fsync.ts';
import { startPostgres } from './support/postgres.ts';
import { MB, median, percentile, type Row, report } from './support/report.ts';

interface Opened {
  readonly store: Store;
  readonly journal: Journal;
}

/** A file, or the URL of a store. */
type Place = string;

async function open(place: Place): Promise<Opened> {
  const store = place.startsWith('postgres:')
    ? await openStore(place)
    : await openSqliteStore({ filename: place, logger: silentLogger });
  const [grant] = await store.acquire([0], 'bench');
  if (!grant) throw new Error('nothing was granted');
  const journal = new Journal({
    store,
    tenure: unlimitedTenure(grant),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
  return { store, journal };
}

async function inTemporaryFile<T>(run: (filename: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  try {
    return await run(join(folder, 'opsqueue.db'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Engine {
  readonly name: string;
  /** In an empty place for each call. */
  use<T>(run: (place: Place) => Promise<T>): Promise<T>;
  /** What each commit takes at least. */
  readonly bound: string;
  boundMs(times: number): Promise<number[]>;
}

let sequence = 0n;

function record(fields: Partial<SubmissionRecord> = {}): SubmissionRecord {
  const nowMs = Date.now();
  return submissionRecord({
    id: (BigInt(nowMs) << 22n) + (++sequence & 0xfffn) + ((sequence >> 12n) << 22n),
    prefix: uuidV7(nowMs),
    chunkSizeOps: 100,
    strategicMetadata: new Map([['company_id', sequence % 1000n]]),
    ...fields,
  });
}

/** Microseconds of processor time that the calling thread used for each of `count` things. */
async function threadUs(count: number, run: () => Promise<void>): Promise<number> {
  const before = process.threadCpuUsage();
  await run();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / count;
}

async function commits({ name, use, bound, boundMs }: Engine, times: number): Promise<Row[]> {
  const bare = await boundMs(times);
  const taken: number[] = [];
  await use(async (filename) => {
    const { store, journal } = await open(filename);
    for (let i = 0; i < times; i++) {
      const began = performance.now();
      await journal.insert({ kind: 'insert', record: record() });
      taken.push(performance.now() - began);
    }
    await store.close();
  });
  const row = (what: string, ms: number[]) => {
    ms.sort((a, b) => a - b);
    return {
      store: name,
      what,
      'p50 ms': median(ms),
      'p99 ms': percentile(ms, 0.99),
      'of the bound': median(ms) / median(bare),
    };
  };
  return [row(bound, bare), row('one insert, one at a time', taken)];
}

async function groupCommit({ name, use }: Engine, outstanding: number, count: number): Promise<Row> {
  return use(async (filename) => {
    const { store, journal } = await open(filename);
    const records = Array.from({ length: count }, () => record());
    const began = performance.now();
    const us = await threadUs(count, async () => {
      const one = async () => {
        for (let next = records.pop(); next; next = records.pop()) {
          await journal.insert({ kind: 'insert', record: next });
        }
      };
      await Promise.all(Array.from({ length: outstanding }, one));
    });
    const seconds = (performance.now() - began) / 1000;
    const { batchesCommitted } = journal.health;
    await store.close();
    return {
      store: name,
      'inserts at once': outstanding,
      'inserts/s': count / seconds,
      'commits/s': batchesCommitted / seconds,
      'inserts a commit': count / batchesCommitted,
      'calling thread, us each': us,
    };
  });
}

/** Rounds of the event loop, each with as many completions as one gets at 150 000 a second. */
async function completions({ name, use }: Engine, count: number, submissions: number): Promise<Row> {
  return use(async (filename) => {
    const { store, journal } = await open(filename);
    const chunksTotal = Math.ceil(count / submissions);
    const open_ = Array.from({ length: submissions }, () => {
      const of = record({ chunksTotal });
      return { record: of, done: new ChunkSet(chunksTotal) };
    });
    await Promise.all(open_.map((of) => journal.insert({ kind: 'insert', record: of.record })));
    const began = performance.now();
    const us = await threadUs(count, async () => {
      for (let i = 0; i < count; i++) {
        const of = open_[i % submissions]!;
        const index = Math.floor(i / submissions);
        of.done.add(index);
        journal.chunkDone(of, index);
        if (i % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
      }
      await journal.committed();
    });
    const seconds = (performance.now() - began) / 1000;
    await store.close();
    return { store: name, submissions, 'completions/s': count / seconds, 'calling thread, us each': us };
  });
}

/** Why batches cross the threads as one buffer. */
function crossing(): Row[] {
  const batches: [string, Mutation[]][] = [
    ['100 inserts', Array.from({ length: 100 }, () => ({ kind: 'insert', record: record() }))],
    [
      '100 pages',
      Array.from({ length: 100 }, (_, page) => ({
        kind: 'page',
        id: 1n,
        page,
        content: new Uint8Array(512),
      })),
    ],
  ];
  return batches.map(([batch, mutations]) => {
    const us = (run: () => void) => {
      for (let i = 0; i < 200; i++) run();
      const began = performance.now();
      for (let i = 0; i < 1000; i++) run();
      return ((performance.now() - began) * 1000) / 1000 / mutations.length;
    };
    return {
      batch,
      'packed, us each': us(() => void encodeMutations(mutations)),
      'cloned, us each': us(() => void structuredClone(mutations)),
    };
  });
}

async function loading(count: number): Promise<Row[]> {
  return inTemporaryFile(async (filename) => {
    const first = await open(filename);
    await Promise.all(
      Array.from({ length: count }, () => first.journal.insert({ kind: 'insert', record: record() })),
    );
    await first.journal.drain();
    await first.store.close();
    const began = performance.now();
    const { store } = await open(filename);
    const opened = performance.now();
    let loaded = 0;
    for await (const piece of store.load([0])) loaded += piece.length;
    const ended = performance.now();
    await store.close();
    if (loaded !== count) throw new Error(`${loaded} of ${count} were loaded`);
    return [
      { what: 'opening the file', ms: opened - began },
      { what: `loading ${count} open submissions`, ms: ended - opened },
      { what: 'database MB of them', MB: statSync(filename).size / MB },
    ];
  });
}

/**
 * One submission, half of its chunks done, in ten rounds: each goes through all pages in random order and completes
 * random chunks of them, and what it changed is committed.
 */
async function halfDone(chunksTotal: number): Promise<Row[]> {
  return inTemporaryFile(async (filename) => {
    const { store, journal } = await open(filename);
    const of = { record: record({ chunksTotal }), done: new ChunkSet(chunksTotal) };
    await journal.insert({ kind: 'insert', record: of.record });
    const random = seededRandom(1);
    const began = performance.now();
    const pages = Array.from({ length: of.done.pagesTotal }, (_, page) => page);
    for (let round = 0; round < 10; round++) {
      for (let i = pages.length - 1; i > 0; i--) {
        const j = Math.floor(random.next() * (i + 1));
        [pages[i], pages[j]] = [pages[j]!, pages[i]!];
      }
      for (const page of pages) {
        const size = Math.min(PAGE_CHUNKS, chunksTotal - page * PAGE_CHUNKS);
        // A tenth of half of the page, whatever of it was done before.
        for (let left = size / 20; left > 0; ) {
          if (of.done.add(page * PAGE_CHUNKS + Math.floor(random.next() * size))) left--;
        }
        journal.chunkDone(of, page * PAGE_CHUNKS);
      }
      await journal.committed();
    }
    await journal.drain();
    const written = performance.now();
    const bytes = await store.sizeBytes();
    await store.close();
    const reopened = await open(filename);
    const reopening = performance.now();
    for await (const piece of reopened.store.load([0])) {
      if (piece[0]?.done.count !== of.done.count) throw new Error('not what was written');
    }
    const loaded = performance.now();
    await reopened.store.close();
    return [
      { what: `${chunksTotal} chunks, half of them done`, ms: written - began },
      { what: 'database and its log', MB: bytes / MB },
      { what: 'database alone', MB: statSync(filename).size / MB },
      { what: 'loading it', ms: loaded - reopening },
    ];
  });
}

const { json, quick, postgres } = benchArguments();
await using database = postgres ? await startPostgres() : null;
const engines: Engine[] = [
  {
    name: 'SQLite',
    use: inTemporaryFile,
    bound: 'a bare fsync of 4 kB',
    boundMs: async (times) => bareFsyncsMs(times),
  },
];
if (database !== null) {
  engines.push({
    name: 'PostgreSQL',
    use: (run) => run(database.storeUrl()),
    bound: 'a bare commit there',
    boundMs: (times) => database.bareCommitsMs(times),
  });
}
const inserts = quick ? 5_000 : 20_000;
const rows: Record<'commits' | 'inserts' | 'completions', Row[]> = {
  commits: [],
  inserts: [],
  completions: [],
};
for (const engine of engines) rows.commits.push(...(await commits(engine, quick ? 100 : 500)));
for (const outstanding of [16, 256]) {
  for (const engine of engines) rows.inserts.push(await groupCommit(engine, outstanding, inserts));
}
for (const submissions of [1, 1000]) {
  for (const engine of engines) rows.completions.push(await completions(engine, 500_000, submissions));
}
report('store: a commit', rows.commits, json);
report('store: inserts in group commit', rows.inserts, json);
report('store: completions', rows.completions, json);
report('store: a batch to the other thread', crossing(), json);
report('store: loading', await loading(quick ? 20_000 : 100_000), json);
report('store: a large submission', await halfDone(quick ? 5_000_000 : 100_000_000), json);
