/** Databases in states that take long to get into over the wire. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { ChunkSet, PAGE_BYTES, PAGE_CHUNKS } from '../../src/model/chunk-set.ts';
import { nextSubmissionId } from '../../src/model/ids.ts';
import type { SubmissionRecord } from '../../src/model/submission.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Mutation, Store } from '../../src/store/store.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { seededRandom } from '../../src/system/random.ts';

const BATCH = 5_000;
const CUSTOMERS = 1_000;
const random = seededRandom(1);

let lastId = 0n;

/** Later ones come later. */
function record(chunksTotal: number, customer = 0): SubmissionRecord {
  // All of them in the shard that a queue on SQLite has.
  lastId = nextSubmissionId(lastId, Date.now(), 0);
  return submissionRecord({
    id: lastId,
    prefix: randomUUID(),
    chunksTotal,
    chunkSizeOps: 1000,
    strategicMetadata: new Map([['customer', BigInt(customer)]]),
  });
}

export function* openSubmissions(count: number, chunksTotal: number): Generator<Mutation> {
  for (let i = 0; i < count; i++) yield { kind: 'insert', record: record(chunksTotal, i % CUSTOMERS) };
}

export function* halfDoneInRandomOrder(chunksTotal: number): Generator<Mutation> {
  const one = record(chunksTotal);
  yield { kind: 'insert', record: one };
  for (let page = 0; page < Math.floor(chunksTotal / PAGE_CHUNKS); page++) {
    yield { kind: 'page', id: one.id, page, content: halfDonePage() };
  }
}

/** The chunks that are done of such a submission, as they are in memory. */
export function halfDoneSet(chunksTotal: number): ChunkSet {
  const done = new ChunkSet(chunksTotal);
  for (let i = 0; i < chunksTotal; i += 2)
    done.add(random.next() < 0.5 ? i : Math.min(i + 1, chunksTotal - 1));
  return done;
}

/** Makes the database of a queue in that folder. */
export async function prepareStore(folder: string, ...states: readonly Iterable<Mutation>[]): Promise<void> {
  await fillStore(
    await openSqliteStore({ filename: join(folder, 'opsqueue.db'), logger: silentLogger }),
    ...states,
  );
}

/** Writes to a store that nobody else writes to, and closes it. */
export async function fillStore(store: Store, ...states: readonly Iterable<Mutation>[]): Promise<void> {
  const [grant] = await store.acquire([0], 'bench');
  let seq = grant!.lastSeq;
  let batch: Mutation[] = [];
  const commit = async () => {
    const result = await store.commit({ shard: 0, epoch: grant!.epoch, seq: ++seq, mutations: batch });
    if (result.kind !== 'committed') throw new Error(`the store answered ${result.kind}`);
    batch = [];
  };
  for (const mutations of states) {
    for (const mutation of mutations) {
      batch.push(mutation);
      if (batch.length === BATCH) await commit();
    }
  }
  if (batch.length > 0) await commit();
  await store.close();
}

/** Half of the chunks of each octet, at random places. */
function halfDonePage(): Uint8Array {
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
