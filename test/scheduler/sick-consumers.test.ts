import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RETRY_DEFAULT } from '../../src/model/retry.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { type NamedConsumer, Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** One fails whatever it gets, until it is told to wait; the other one completes a chunk after each. */
function failUntilSick(scene: Scene, sick: NamedConsumer, well: NamedConsumer): number {
  for (let failures = 0; ; failures++) {
    const [chunk] = scene.reserve(sick, OLDEST) ?? [];
    if (chunk === undefined) return failures;
    scene.fail(sick, chunk);
    for (const done of scene.reserve(well, OLDEST)!) scene.complete(well, done);
  }
}

test('a failed chunk goes to another consumer first, although the one that failed it asks before', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
  scene.ask(a, OLDEST);
  scene.ask(b, OLDEST);
  scene.takeAnswers();
  scene.fail(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
  // It has failed on both: anybody may have it.
  scene.fail(b, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['A: 1#0']);
});

test('a chunk does not wait for others that have gone, that ask for nothing, or that are at work for too long', () => {
  for (const [what, patienceMs] of [
    ['gone', 0],
    ['idle', 0],
    ['busy', 60_000],
  ] as const) {
    const scene = new Scene({ reservationExpirationMs: 600_000 });
    scene.insert(1, { chunksTotal: 2 });
    const [a, b] = [scene.consumer('A'), scene.consumer('B')];
    scene.reserve(a, OLDEST);
    if (what !== 'idle') scene.reserve(b, OLDEST);
    scene.fail(a, '1#0');
    if (what === 'gone') scene.remove(b, 'orderly');
    if (patienceMs > 0) {
      assert.equal(scene.reserve(a, OLDEST), null);
      scene.pass(patienceMs);
      assert.deepEqual(scene.takeAnswers().at(-1), 'A: 1#0');
    } else assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
    scene.scheduler.checkInvariants();
  }
});

test('the first retry is at once if another consumer can take it, later ones wait', () => {
  const scene = new Scene({ random: { next: () => 0 } });
  scene.insert(1, { chunksTotal: 1, retry: RETRY_DEFAULT });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST);
  scene.ask(b, OLDEST);
  scene.takeAnswers();
  scene.fail(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
  scene.fail(b, '1#0');
  assert.equal(scene.scheduler.nextDeadlineMs(), 2_000);
});

test('who fails five chunks in a row while others complete some is paused, longer each time, until its first success', () => {
  const scene = new Scene({ chunkRetriesMax: 10, reservationExpirationMs: 3_600_000 });
  scene.insert(1, { chunksTotal: 1_000 });
  const [sick, well] = [scene.consumer('sick'), scene.consumer('well')];
  scene.ask(well, OLDEST);
  assert.equal(failUntilSick(scene, sick, well), 5);
  assert.ok(scene.takeTold().includes('sick is sick: 1000'));
  assert.equal(scene.scheduler.counts.consumersSick, 1);
  scene.takeAnswers();
  // Its request waits; each pause ends with a single chunk, whatever it asks for.
  for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
    scene.pass(pauseMs - 1);
    assert.deepEqual(scene.takeAnswers(), []);
    scene.pass(1);
    const [answer] = scene.takeAnswers();
    assert.match(answer!, /^sick: 1#\d+$/);
    assert.equal(scene.reserve(sick, OLDEST, 100), null);
    scene.fail(sick, answer!.slice('sick: '.length));
    for (const done of scene.reserve(well, OLDEST)!) scene.complete(well, done);
    scene.takeAnswers();
  }
  scene.pass(60_000);
  const [last] = scene.takeAnswers();
  scene.complete(sick, last!.slice('sick: '.length));
  assert.ok(scene.takeTold().includes('sick recovers'));
  assert.equal(scene.scheduler.counts.consumersSick, 0);
  scene.scheduler.checkInvariants();
});

test('no consumer is paused where none completes anything, and none stays paused when the others have gone', () => {
  const alone = new Scene({ chunkRetriesMax: 100 });
  alone.insert(1, { chunksTotal: 1 });
  const lone = alone.consumer('lone');
  for (let i = 0; i < 50; i++) {
    assert.deepEqual(alone.reserve(lone, OLDEST), ['1#0']);
    alone.fail(lone, '1#0');
  }
  const scene = new Scene({ chunkRetriesMax: 10, reservationExpirationMs: 3_600_000 });
  scene.insert(1, { chunksTotal: 1_000 });
  const [sick, well] = [scene.consumer('sick'), scene.consumer('well')];
  failUntilSick(scene, sick, well);
  scene.takeAnswers();
  scene.remove(well, 'orderly');
  assert.equal(scene.takeAnswers().length, 1);
  scene.scheduler.checkInvariants();
});

test('a sick consumer that waits gets its next chunk when what it held is cancelled, or completed by another one', () => {
  for (const end of ['cancelled', 'completed elsewhere'] as const) {
    const scene = new Scene({ chunkRetriesMax: 100, reservationExpirationMs: 3_600_000 });
    scene.insert(1, { chunksTotal: 100 });
    const [sick, well] = [scene.consumer('sick'), scene.consumer('well')];
    failUntilSick(scene, sick, well);
    scene.pass(1_000);
    const [held] = scene.answers.at(-1)!.chunks;
    assert.equal(scene.answers.at(-1)!.consumer.peer, 'sick', 'its pause is over');
    assert.equal(scene.reserve(sick, OLDEST), null, 'one at a time');
    scene.insert(2, { chunksTotal: 1 });
    scene.takeAnswers();
    if (end === 'cancelled') scene.scheduler.cancel(1n, scene.nowMs);
    else scene.complete(well, `1#${held!.chunkIndex}`);
    assert.equal(scene.takeAnswers().length, 1, end);
    scene.scheduler.checkInvariants();
  }
});
