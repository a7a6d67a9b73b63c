/** Compares what a queue says after a crash with what its clients know. */
import assert from 'node:assert/strict';
import { doneAsOf, type Entry, type Ledger, type Moment } from './ledger.ts';
import { outputOf } from './load.ts';
import type { RawQueue } from './raw-queue.ts';

export interface VerifyOptions {
  /** Default: all. What is open is told apart from what is not only if all are compared. */
  readonly entries?: Iterable<Entry>;
  /** Only what was known by then must be there. Default: everything; then what is found is known from now on. */
  readonly at?: Moment;
}

/**
 * Everything acknowledged or seen is there: acknowledged <= recovered <= asked for.
 *
 * @returns how many submissions were compared
 */
export async function verifyLedger(
  queue: RawQueue,
  ledger: Ledger,
  { entries = ledger.entries.values(), at = Infinity }: VerifyOptions = {},
): Promise<number> {
  const open = new Set<bigint>();
  let compared = 0;
  for (const entry of entries) {
    const state = await verifyEntry(queue, ledger, entry, at);
    if (state === 'in_progress' && entry.id !== null) open.add(entry.id);
    compared++;
  }
  if (compared === ledger.entries.size && at === Infinity) {
    const unknown = (await queue.openIds()).filter((id) => !open.has(id) && ledger.byId.has(id));
    assert.deepEqual(unknown, [], 'submissions that are open and not in progress');
  }
  return compared;
}

async function verifyEntry(
  queue: RawQueue,
  ledger: Ledger,
  entry: Entry,
  at: Moment,
): Promise<string | null> {
  const { name } = entry;
  const mustBe = entry.insertedAt !== null && entry.insertedAt <= at;
  const id = entry.isDirect ? entry.id : await queue.idByPrefix(name);
  if (id === null) {
    // The key of a direct submission cannot be looked up: without an answer nobody knows its id.
    assert.ok(!mustBe, `${name} was acknowledged and is not there`);
    return null;
  }
  assert.ok(entry.id === null || entry.id === id, `${name} was ${entry.id} and is ${id}`);
  const found = await queue.status(id);
  if (found === null) {
    assert.ok(!mustBe, `${name} was acknowledged and is not there`);
    return null;
  }
  const { status, text } = found;
  assert.equal(status.record.chunksTotal, entry.chunksTotal, name);
  assert.equal(status.record.chunkSizeOps, status.state === 'cancelled' ? null : 3, name);
  assert.equal(String(Buffer.from(status.record.metadata ?? [])), name);
  assert.deepEqual([...status.record.strategicMetadata], [['size', BigInt(entry.chunksTotal)]], name);

  if (entry.end !== null && entry.end.at <= at) assert.equal(text, entry.end.text, name);
  const what = `${name}, of which nobody has seen more: ${text}`;
  switch (status.state) {
    case 'completed':
      assert.equal(entry.completionsSent.size, entry.chunksTotal, what);
      break;
    case 'failed':
      assert.ok(entry.failuresSent.has(status.failedChunk.chunkIndex), what);
      break;
    case 'cancelled':
      assert.ok(entry.isCancelAsked, what);
      break;
    case 'in_progress':
      break;
  }
  if (entry.cancelledAt !== null && entry.cancelledAt <= at) assert.equal(status.state, 'cancelled', name);
  if (status.state !== 'completed') {
    const seen = doneAsOf(entry, at);
    assert.ok(
      (status.chunksDone ?? 0) >= seen,
      `${name}: ${seen} chunks were done, now ${status.chunksDone}`,
    );
  }
  await verifyChunks(queue, entry, id, at);
  if (at === Infinity) {
    ledger.inserted(entry, id);
    ledger.sawStatus(entry, status, text);
  }
  return status.state;
}

async function verifyChunks(queue: RawQueue, entry: Entry, id: bigint, at: Moment): Promise<void> {
  const done = await queue.done(id);
  for (const [chunk, seenAt] of entry.doneSeen) {
    assert.ok(seenAt > at || done.has(chunk), `${entry.name}: chunk ${chunk} was done and is not`);
  }
  for (const chunk of done) {
    assert.ok(entry.completionsSent.has(chunk), `${entry.name}: nobody has completed chunk ${chunk}`);
  }
  if (!entry.isDirect) return;
  const outputs = await queue.directOutputs(id);
  for (const chunk of done) {
    assert.equal(
      String(Buffer.from(outputs[chunk] ?? [])),
      String(outputOf(entry, chunk)),
      `the output of chunk ${chunk} of ${entry.name}`,
    );
  }
}
