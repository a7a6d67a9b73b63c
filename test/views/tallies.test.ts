import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HISTORY_SERIES, HISTORY_WINDOWS } from '../../src/protocol/api/overview.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { seededRandom } from '../../src/system/random.ts';
import { Ended } from '../../src/views/tallies/ended.ts';
import { HistoryRings, type Sample } from '../../src/views/tallies/history.ts';
import { Ring } from '../../src/views/tallies/ring.ts';
import { Rolling } from '../../src/views/tallies/rolling.ts';
import { Spans } from '../../src/views/tallies/spans.ts';
import { LongOnes, Regions } from '../../src/views/tallies/tallies.ts';
import { CountedChunks, CountedConsumer } from '../support/queues/counted-chunks.ts';

test('a ring keeps the last ones under their numbers, as a list that is cut would', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(40), (capacity, count) => {
      const ring = new Ring<number>(capacity);
      const all: number[] = [];
      for (let i = 0; i < count; i++) {
        all.push(i * 10);
        const gone = ring.push(i * 10);
        assert.equal(gone, i >= capacity ? all[i - capacity] : undefined);
      }
      const kept = all.slice(-capacity);
      assert.deepEqual([ring.size, ring.lastSeq], [kept.length, count]);
      assert.equal(ring.firstSeq, count - kept.length + 1);
      for (let seq = -1; seq <= count + 1; seq++) {
        assert.equal(ring.at(seq), seq >= ring.firstSeq && seq <= count ? all[seq - 1] : undefined);
      }
    }),
  );
});

test('what happens evenly is counted exactly over a period, and is forgotten after it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 500 }),
      fc.integer({ min: 70_000, max: 200_000 }),
      fc.constantFrom(10_000, 30_000, 60_000),
      (everyMs, untilMs, periodMs) => {
        const rolling = new Rolling();
        assert.equal(rolling.count(0, periodMs), 0);
        for (let nowMs = 0; nowMs <= untilMs; nowMs += everyMs) rolling.add(nowMs);
        const wanted = periodMs / everyMs;
        const counted = rolling.count(untilMs, periodMs);
        assert.ok(Math.abs(counted - wanted) <= 2 + wanted * 0.02, `${counted}, not ${wanted}`);
        assert.equal(rolling.count(untilMs + periodMs + 10_000, periodMs), 0);
        assert.equal(rolling.count(untilMs + 1e7, periodMs), 0);
      },
    ),
    { numRuns: 30 },
  );
});

test('quantiles of durations are those of the sorted list, within an eighth', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.1, max: 1e8, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0, 0.1, 0.5, 0.9, 1),
      (durations, quantile) => {
        const spans = new Spans();
        for (const ms of durations) spans.add(ms);
        const sorted = durations.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)]!;
        const told = spans.quantile(quantile);
        assert.ok(told >= exact * 0.87 && told <= exact * 1.13, `${told}, not ${exact}`);
        assert.deepEqual([spans.count, spans.maxMs], [durations.length, sorted.at(-1)]);
      },
    ),
  );
  const spans = new Spans();
  assert.equal(spans.quantile(0.5), 0);
  for (const odd of [0, 1e-9, 1e30]) spans.add(odd);
  assert.equal(spans.count, 3);
});

/** One in thirty-two is enough for quantiles that by any draw differ from those of all by far less than is asked for. */
const MANY_CHUNKS = 40_000;

test('what many chunks take is known from some of them, how many there were and the longest one from all', () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(1, 3, 8), (seed, skew) => {
      const random = seededRandom(seed);
      const durations = Array.from(
        { length: MANY_CHUNKS },
        () => 1 + Math.floor(100_000 * random.next() ** skew),
      );
      const counted = new CountedChunks();
      const submission = counted.tally;
      const countedConsumer = new CountedConsumer();
      const consumer = countedConsumer.tally;
      for (const [nowMs, ms] of durations.entries()) {
        counted.completed(nowMs, ms);
        countedConsumer.completed(nowMs, ms);
      }
      const sorted = durations.toSorted((a, b) => a - b);
      for (const { done, doneOfLate } of [submission, consumer]) {
        assert.deepEqual([done, doneOfLate.count(MANY_CHUNKS, 60_000)], [MANY_CHUNKS, MANY_CHUNKS]);
      }
      const spans = submission.spans!;
      assert.ok(Math.abs(spans.count - submission.done) <= 64, `${spans.count}`);
      for (const quantile of [0.5, 0.9]) {
        const near = (share: number) => sorted[Math.round(share * sorted.length)]!;
        const told = spans.quantile(quantile);
        const isNear = told >= near(quantile - 0.1) * 0.87 && told <= near(quantile + 0.09) * 1.13;
        assert.ok(isNear, `${told}, not ${near(quantile)}`);
      }
      assert.equal(submission.longestMs, sorted.at(-1));
    }),
    { numRuns: 5 },
  );
});

test('of a consumer the last chunks count, however long they take', () => {
  for (const [before, after] of [
    [1, 10],
    [10, 1],
    [1_000, 10_000],
    [10_000, 1_000],
  ] as const) {
    const counted = new CountedConsumer();
    const { tally } = counted;
    const take = (ms: number, chunks: number) => {
      for (let i = 0; i < chunks; i++) counted.completed(i, ms);
    };
    const isAbout = (ms: number) =>
      [tally.meanMs, tally.spans.quantile(0.5)].every((told) => told > ms / 1.2 && told < ms * 1.2);
    take(before, 1_000);
    assert.ok(isAbout(before), `${tally.meanMs}`);
    take(after, 400);
    assert.ok(isAbout(after), `${tally.meanMs}`);
  }
});

test('consumers that take turns are looked at alike', () => {
  for (const consumers of [2, 3, 7, 8, 13, 16]) {
    const counted = new CountedChunks();
    const { tally } = counted;
    // One of them takes a hundred times as long.
    for (let i = 0; i < 100_000; i++) counted.completed(i, i % consumers === 0 ? 100_000 : 1_000);
    const [below, above] = [-0.02, 0.02].map((off) => tally.spans!.quantile(1 - 1 / consumers + off));
    assert.ok(below! < 2_000 && above! > 80_000, `${consumers}: ${below} ${above}`);
  }
});

test('what a submission did of late is counted exactly, although most short chunks are not looked at', () => {
  fc.assert(
    fc.property(fc.constantFrom(1, 3, 100, 700, 9_000, 25_000), fc.boolean(), (everyMs, isRead) => {
      const counted = new CountedChunks();
      const { tally } = counted;
      let seen = 0;
      for (let nowMs = 0; nowMs <= 150_000; nowMs += everyMs) {
        seen += counted.completed(nowMs, 2) ? 1 : 0;
        if (isRead && nowMs % (everyMs * 7) === 0) tally.doneOfLate.count(nowMs + everyMs / 2, 60_000);
      }
      const untilMs = 150_000;
      for (const periodMs of [10_000, 60_000]) {
        const wanted = periodMs / everyMs;
        const told = tally.doneOfLate.count(untilMs, periodMs);
        assert.ok(Math.abs(told - wanted) <= 2 + wanted * 0.02, `${told}, not ${wanted}`);
      }
      assert.equal(tally.done, Math.floor(untilMs / everyMs) + 1);
      if (everyMs <= 3) assert.ok(seen < tally.done / 20, `${seen} of ${tally.done}`);
    }),
  );
});

test('of a submission the longest of the chunks that take long is known, wherever it is', () => {
  fc.assert(
    fc.property(fc.nat(9_999), fc.integer({ min: 50, max: 10_000 }), (at, longestMs) => {
      const counted = new CountedChunks();
      counted.tally.regions = Regions.for(10_000);
      for (let i = 0; i < 10_000; i++) counted.completed(i, i === at ? longestMs : 5);
      assert.equal(counted.tally.longestMs, longestMs);
      const { shift, length } = counted.tally.regions!;
      assert.equal(counted.tally.regions!.longest(at >>> shift), longestMs);
      let [sum, count] = [0, 0];
      for (let region = 0; region < length; region++) {
        sum += counted.tally.regions!.sum(region);
        count += counted.tally.regions!.count(region);
      }
      const mean = (5 * 9_999 + longestMs) / 10_000;
      assert.ok(Math.abs(sum / count - mean) <= mean * 0.05, `${sum / count}, not ${mean}`);
    }),
    { numRuns: 20 },
  );
});

test('of very many chunks that take long few are looked at, and those that take far longer all the same', () => {
  const longOnes = new LongOnes();
  for (let second = 0; second < 20; second++) {
    let seen = 0;
    for (let i = 0; i < 50_000; i++) {
      const isSeen = longOnes.isLong(100 + (i % 100), second * 1_000 + i / 50);
      if (isSeen) seen++;
    }
    assert.ok(seen <= 2_000, `${seen} in second ${second}`);
    assert.ok(longOnes.isLong(10_000, second * 1_000 + 999));
  }
  for (let second = 30; second < 40; second++) longOnes.isLong(50, second * 1_000);
  assert.ok(longOnes.isLong(50, 41_000), 'each one again, where there are few');
});

const sampleOf = (value: number | null) =>
  Object.fromEntries(HISTORY_SERIES.map((series) => [series, value])) as Sample;

test('the history has means of the seconds, ten seconds and minutes that have passed, in order and bounded', () => {
  const rings = new HistoryRings();
  const seconds = 4_000;
  for (let second = 1; second <= seconds; second++) rings.push(second, sampleOf(second));
  for (const [window, each] of Object.entries(HISTORY_WINDOWS) as [
    keyof typeof HISTORY_WINDOWS,
    { points: number; seconds: number },
  ][]) {
    const points = rings.points(window, ['done'], each.points);
    assert.equal(points.length, Math.min(each.points, Math.floor(seconds / each.seconds)));
    for (const { atSecond, values } of points) {
      assert.equal(atSecond % each.seconds, 0);
      assert.equal(values[0], atSecond - (each.seconds - 1) / 2, `${window} at ${atSecond}`);
    }
    const few = rings.points(window, ['done'], 20);
    assert.ok(few.length <= 20);
    assert.deepEqual(
      few.map(({ atSecond }) => atSecond),
      few.map(({ atSecond }) => atSecond).toSorted((a, b) => a - b),
    );
  }
  assert.deepEqual(rings.points('10m', ['done'], 600).at(-1), { atSecond: seconds, values: [seconds] });
});

test('a second that nobody saw is missing, and what is not known is null', () => {
  const rings = new HistoryRings();
  rings.push(1, sampleOf(1));
  rings.push(25, sampleOf(null));
  assert.deepEqual(rings.points('10m', ['done'], 600), [
    { atSecond: 1, values: [1] },
    { atSecond: 25, values: [null] },
  ]);
  assert.deepEqual(rings.points('6h', ['done'], 600), [{ atSecond: 25, values: [1] }]);
});

test('durations by place are kept for whatever has enough chunks, in a bounded number of places', () => {
  assert.equal(Regions.for(100), null);
  for (const chunks of [512, 10_000, 10_000_000, 2 ** 32]) {
    const regions = Regions.for(chunks)!;
    assert.ok(regions.length <= 2_560, `${regions.length} places`);
    regions.add(chunks - 1, 7);
    regions.add(chunks - 1, 3);
    const last = regions.length - 1;
    assert.deepEqual([regions.sum(last), regions.count(last), regions.longest(last)], [10, 2, 7]);
  }
});

test('what failed again after a retry is remembered from then on, among the last five hundred', () => {
  const ended = new Ended();
  let atMs = 0;
  const fails = (id: bigint) => {
    const failedChunk = { chunkIndex: 0, inputContent: null, failure: 'Error: gone' };
    const record = submissionRecord({ id });
    ended.add(record, { state: 'failed', endedAtMs: ++atMs, chunksDone: 0, failedChunk }, null);
  };
  for (let id = 1n; id <= 400n; id++) fails(id);
  for (const id of [1n, 2n]) ended.forget(id);
  fails(1n);
  for (let id = 401n; id <= 500n; id++) fails(id);
  // The first time that they failed was longest ago, and is not what is remembered.
  fails(501n);
  const remembered = () => [1n, 2n, 3n].map((id) => ended.hasFailed(id));
  assert.deepEqual([remembered(), ended.failed(atMs).areCut], [[true, false, true], false]);
  const ids = ended.failed(atMs).ends.map(({ id }) => Number(id));
  assert.deepEqual([ids[0], ids[398], ids.at(-1), ids.length], [3, 1, 501, 500]);
  fails(502n);
  assert.deepEqual([remembered(), ended.failed(atMs).areCut], [[true, false, false], true]);
});
