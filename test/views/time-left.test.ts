import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '../../src/system/random.ts';
import { timeLeft } from '../../src/views/answers/time-left.ts';
import { CountedChunks } from '../support/queues/counted-chunks.ts';

interface Drain {
  readonly chunks: number;
  durationMs(random: Random): number;
  consumers(nowMs: number): number;
}

/** A whole drain, in virtual time: how often the end came before what was announced, at each fiftieth of the way, and how wide the ranges were. */
function rehearse({ chunks, durationMs, consumers }: Drain, random: Random) {
  const counted = new CountedChunks();
  const { tally } = counted;
  const running: { readonly endsMs: number; readonly tookMs: number }[] = [];
  const announced: { readonly atMs: number; readonly p50: number; readonly p90: number }[] = [];
  let nowMs = 0;
  for (let [done, begun] = [0, 0]; done < chunks; ) {
    for (; running.length < consumers(nowMs) && begun < chunks; begun++) {
      const tookMs = Math.max(1, durationMs(random));
      running.push({ endsMs: nowMs + tookMs, tookMs });
    }
    const next = running.reduce((first, each) => (each.endsMs < first.endsMs ? each : first));
    running.splice(running.indexOf(next), 1);
    nowMs = next.endsMs;
    done++;
    counted.completed(nowMs, next.tookMs);
    const left = done % Math.ceil(chunks / 50) === 0 ? timeLeft(tally, chunks - done, nowMs) : null;
    if (left !== null && done < chunks) announced.push({ atMs: nowMs, ...left });
  }
  return announced.map(({ atMs, p50, p90 }) => ({ isWithin: nowMs - atMs <= p90, width: p90 / p50 }));
}

/** About a normal distribution. */
function around(random: Random): number {
  let sum = -6;
  for (let i = 0; i < 12; i++) sum += random.next();
  return sum;
}

const STEADY = () => 20;
const DRAINS: Readonly<Record<string, Drain & { readonly within: number; readonly width: number }>> = {
  steady: {
    chunks: 2_000,
    durationMs: (r) => 5_000 * (1 + around(r) / 5),
    consumers: STEADY,
    within: 0.97,
    width: 1.3,
  },
  'a few rounds of long chunks': {
    chunks: 400,
    durationMs: (r) => 60_000 * (1 + around(r) / 5),
    consumers: STEADY,
    within: 0.97,
    width: 2,
  },
  'durations that differ much': {
    chunks: 2_000,
    durationMs: (r) => 3_000 * Math.exp(around(r)),
    consumers: STEADY,
    within: 0.85,
    width: 1.6,
  },
  'one of five takes thirty times as long': {
    chunks: 2_000,
    durationMs: (r) => (r.next() < 0.8 ? 1_000 : 30_000),
    consumers: STEADY,
    within: 0.85,
    width: 1.8,
  },
  'one of twenty takes two minutes instead of a second': {
    chunks: 3_000,
    durationMs: (r) => (r.next() < 0.95 ? 1_000 : 120_000),
    consumers: STEADY,
    within: 0.65,
    width: 3,
  },
  'consumers that join': {
    chunks: 2_000,
    durationMs: (r) => 5_000 * (1 + around(r) / 5),
    consumers: (nowMs) => 3 + Math.floor(nowMs / 60_000),
    within: 0.97,
    width: 2.5,
  },
};

for (const [name, { within, width, ...drain }] of Object.entries(DRAINS)) {
  test(`the end comes within the range that was announced: ${name}`, () => {
    const random = seededRandom(7);
    const all = Array.from({ length: 6 }, () => rehearse(drain, random)).flat();
    assert.ok(all.length > 150, `${all.length}`);
    const share = all.filter(({ isWithin }) => isWithin).length / all.length;
    assert.ok(share >= within, `${share}`);
    const widths = all.map((each) => each.width).sort((a, b) => a - b);
    assert.ok(widths[widths.length >> 1]! <= width, `${widths[widths.length >> 1]}`);
  });
}
