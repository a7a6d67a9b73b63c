/**
 * Time from the start of the process to the first `pong`, resident memory and database bytes, in four states.
 *
 *     npm run bench -- queue-recover [--json] [--quick]
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_BYTES } from '../src/model/chunk-set.ts';
import type { SubmissionRecord } from '../src/model/submission.ts';
import { submissionRecord } from '../src/store/conformance/records.ts';
import { openSqliteStore } from '../src/store/sqlite/sqlite-store.ts';
import type { Mutation } from '../src/store/store.ts';
import { silentLogger } from '../src/system/log/logger.ts';
import { seededRandom } from '../src/system/random.ts';
import { benchArguments } from './support/arguments.ts';
import { MB, type Row, report } from './support/report.ts';
import { startOurs } from './support/server-process.ts';

const { json, quick } = benchArguments();
const random = seededRandom(1);

function record(sequence: number, chunksTotal: number): SubmissionRecord {
  return submissionRecord({
    id: (BigInt(Date.now()) << 22n) + BigInt(sequence),
    prefix: randomUUID(),
    chunksTotal,
    chunkSizeOps: 1000,
    strategicMetadata: new Map([['customer', BigInt(sequence % 1000)]]),
  });
}

/** Half of the chunks of each page, at random places. */
function halfDone(): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  for (let i = 0; i < PAGE_BYTES; i++) {
    let bits = 0;
    while (popCount(bits) < 4) bits |= 1 << Math.floor(random.next() * 8);
    page[i] = bits;
  }
  return page;
}

function popCount(byte: number): number {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function* open(submissions: number, chunksTotal: number): Generator<Mutation> {
  for (let i = 0; i < submissions; i++) yield { kind: 'insert', record: record(i, chunksTotal) };
}

function* halfDoneInRandomOrder(chunksTotal: number): Generator<Mutation> {
  const one = record(0, chunksTotal);
  yield { kind: 'insert', record: one };
  for (let page = 0; page < Math.floor(chunksTotal / (PAGE_BYTES * 8)); page++) {
    yield { kind: 'page', id: one.id, page, content: halfDone() };
  }
}

async function prepare(folder: string, mutations: Iterable<Mutation>): Promise<void> {
  const store = await openSqliteStore({ filename: join(folder, 'opsqueue.db'), logger: silentLogger });
  const [grant] = await store.acquire([0], 'bench');
  let seq = grant!.lastSeq;
  let batch: Mutation[] = [];
  const commit = async () => {
    const result = await store.commit({ shard: 0, epoch: grant!.epoch, seq: ++seq, mutations: batch });
    if (result.kind !== 'committed') throw new Error(`the store answered ${result.kind}`);
    batch = [];
  };
  for (const mutation of mutations) {
    batch.push(mutation);
    if (batch.length === 5_000) await commit();
  }
  if (batch.length > 0) await commit();
  await store.close();
}

const STATES: readonly (readonly [string, () => Iterable<Mutation>])[] = [
  ['empty', () => open(0, 0)],
  ['100 000 open submissions of 100 chunks', () => open(quick ? 10_000 : 100_000, 100)],
  ['100 submissions of 10 million chunks waiting', () => open(100, 10_000_000)],
  ['one of 100 million chunks, half done at random', () => halfDoneInRandomOrder(100_000_000)],
];

const rows: Row[] = [];
for (const [state, mutations] of STATES) {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  await prepare(folder, mutations());
  const starts: number[] = [];
  let resident = 0;
  let database = 0;
  for (let round = 0; round < 3; round++) {
    const server = await startOurs({ folder });
    starts.push(server.startMs!);
    resident = Math.max(resident, server.residentBytes()!);
    database = server.databaseBytes()!;
    await server.stop();
  }
  rows.push({
    state,
    'start to pong, ms': starts.sort((a, b) => a - b)[1]!,
    'resident MB': resident / MB,
    'database MB': database / MB,
  });
  rmSync(folder, { recursive: true });
}
report('Start and footprint', rows, json);
