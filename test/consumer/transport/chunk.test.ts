/** The states of a chunk, and what its feed counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chunk, type ChunkState } from '../../../src/consumer/transport/chunk.ts';
import { fakeChunk, fakeSubmission } from '../../support/fakes/fake-queue.ts';

class Book {
  readonly moves: [ChunkState | null, ChunkState][] = [];
  bytes = 0;

  moved(before: ChunkState | null, after: ChunkState): void {
    this.moves.push([before, after]);
  }

  weighed(bytes: number): void {
    this.bytes += bytes;
  }
}

const TIMES = { startMs: 1, endMs: 2 };

function chunk(inputContent: Uint8Array | null = null) {
  const message = fakeChunk(fakeSubmission({ prefix: 'p' }), 3, { inputContent });
  return new Chunk(1, message, message.submission, { feed: new Book(), nowMs: 0, isReadHere: true });
}

test('a chunk goes from its reservation to its result, and its book counts each step and every byte', () => {
  const each = chunk();
  const signal = each.beginFetch(100);
  assert.equal(each.feed.bytes, 100);
  each.fetched(new Uint8Array(7), TIMES);
  assert.equal(each.feed.bytes, 7);
  const held = each.handOver('handed', 5);
  assert.deepEqual([held.chunk.chunkIndex, held.input?.length, held.download], [3, 7, TIMES]);
  each.resultCame(20);
  each.beginUpload();
  each.uploaded();
  each.leave();
  assert.equal(signal.aborted, false);
  assert.equal(each.feed.bytes, 0);
  assert.deepEqual(each.feed.moves, [
    [null, 'waiting'],
    ['waiting', 'fetching'],
    ['fetching', 'ready'],
    ['ready', 'handed'],
    ['handed', 'sending'],
    ['sending', 'gone'],
  ]);
});

test('a chunk that leaves ends the transfer that is under way', () => {
  const reading = chunk();
  const read = reading.beginFetch(0);
  reading.leave();
  assert.equal(read.aborted, true);
  const writing = chunk(new Uint8Array(1));
  writing.handOver('taken', 0);
  writing.resultCame(1);
  const write = writing.beginUpload();
  writing.leave();
  assert.equal(write.aborted, true);
});

test('a step that is not in the diagram throws', () => {
  const fresh = chunk();
  assert.throws(() => fresh.handOver('handed', 0), /a chunk that is waiting cannot become handed/);
  assert.throws(() => fresh.resultCame(0), /a chunk that is waiting cannot become sending/);
  assert.throws(() => fresh.beginUpload(), /a chunk that is waiting has nothing to upload/);
  assert.throws(
    () => fresh.reservedAgain(fakeChunk(fresh.submission, 3)),
    /a chunk that is reserved was reserved again/,
  );
  fresh.leave();
  assert.throws(() => fresh.leave(), /a chunk that is gone cannot become gone/);
});

test('the claim on a chunk follows expiries, broken connections and renewals', () => {
  const claim = (each: ReturnType<typeof chunk>) => [each.isOurs, each.mayFail, each.renewal !== null];
  const message = fakeChunk(fakeSubmission({ prefix: 'p' }), 3);
  const cut = chunk();
  assert.deepEqual(claim(cut), [true, true, false]);
  cut.cut();
  assert.deepEqual(claim(cut), [false, false, false]);
  cut.reservedAgain(message);
  assert.deepEqual(claim(cut), [true, true, false], 'it never expired: nothing is to begin again');

  const expired = chunk();
  expired.expired(false);
  assert.deepEqual(claim(expired), [false, true, false], 'a failure answers the expiry');
  expired.reservedAgain(message);
  assert.deepEqual(claim(expired), [true, true, true]);
  expired.cut();
  assert.deepEqual(claim(expired), [false, false, false]);
  expired.reservedAgain(message);
  assert.deepEqual(claim(expired), [true, true, true], 'the expiry was a try of its own');
  expired.expired(true);
  assert.deepEqual(claim(expired), [false, false, false]);
});
