import {
  cancelled,
  completed,
  failed,
  insertOf,
  output,
  page,
  tries,
} from '../../../src/store/conformance/mutations.ts';
import { plainLoaded, StoreSession } from '../../../src/store/conformance/session.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Mutation } from '../../../src/store/store.ts';

/** Batch number `number` (from 1) of a run that uses every kind of mutation; each leaves another state. */
export function workloadBatch(number: number): Mutation[] {
  const id = BigInt(number + 10);
  if (number === 1) {
    return [insertOf(1n, { chunksTotal: 40_000 }), insertOf(2n, { prefix: null, chunksTotal: 1000 })];
  }
  const done = Array.from({ length: number }, (_, i) => i);
  const end = [completed, failed, cancelled][number % 3];
  return [
    insertOf(id, { metadata: new Uint8Array(number % 50).fill(number) }),
    page(1n, number % 9, done),
    output(2n, number, number % 256, 1, 2, 3),
    page(2n, 0, done),
    tries(1n, number, 1),
    ...(end && number > 5 ? [page(id - 3n, 0, [1]), end(id - 3n, number)] : []),
  ];
}

/** Everything that a store holds, as plain values. */
export async function storeSnapshot(session: StoreSession) {
  const outputs = Array.from({ length: 200 }, (_, chunkIndex) => ({ submissionId: 2n, chunkIndex }));
  const ended = await session.read((store) => store.ended({ queue: '', limit: 1000 }));
  return {
    lastSeq: await session.read((store) => store.lastSeq(0)),
    loaded: (await session.loadAll()).map(plainLoaded),
    ended,
    endedDone: await Promise.all(
      ended.map(async ({ record }) => [
        ...((await session.read((store) => store.chunksDone(record.id))) ?? []),
      ]),
    ),
    outputs: await session.read((store) => store.directContents('output', outputs)),
  };
}

export type StoreSnapshot = Awaited<ReturnType<typeof storeSnapshot>>;

/** What a store must hold after 0, 1, 2, ... `count` batches. */
export async function workloadSnapshots(count: number): Promise<StoreSnapshot[]> {
  const store = new MemoryStore();
  const session = await StoreSession.open({ open: async () => store, dispose: async () => {} });
  const snapshots = [await storeSnapshot(session)];
  for (let number = 1; number <= count; number++) {
    await session.commit(...workloadBatch(number));
    snapshots.push(await storeSnapshot(session));
  }
  return snapshots;
}
