import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heartbeat } from '../../src/net/websocket/heartbeat.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

function beating(missableHeartbeatsMax: number) {
  const clock = new ManualClock();
  const events: string[] = [];
  const at = (what: string) => events.push(`${what} at ${clock.monotonicMs()}`);
  const heartbeat = new Heartbeat(
    { clock, intervalMs: 500, missableHeartbeatsMax },
    { ping: () => at('ping'), dead: () => at('dead') },
  );
  return { clock, heartbeat, events };
}

test('a peer that never answers is pinged at once and after each interval, and is dead after the missable ones', () => {
  const { clock, heartbeat, events } = beating(3);
  heartbeat.start();
  clock.advance(10_000);
  assert.deepEqual(events, ['ping at 0', 'ping at 500', 'ping at 1000', 'ping at 1500', 'dead at 2000']);
  assert.equal(clock.timersPending, 0);
});

test('with no missable heartbeat a peer is dead after one silent interval', () => {
  const { clock, heartbeat, events } = beating(0);
  heartbeat.start();
  clock.advance(10_000);
  assert.deepEqual(events, ['ping at 0', 'dead at 500']);
});

test('whatever arrives puts the ping off by a whole interval', () => {
  const { clock, heartbeat, events } = beating(3);
  heartbeat.start();
  for (let i = 0; i < 10; i++) {
    clock.advance(300);
    heartbeat.alive();
  }
  assert.deepEqual(events, ['ping at 0']);
  clock.advance(499);
  assert.deepEqual(events, ['ping at 0']);
  clock.advance(1);
  assert.deepEqual(events, ['ping at 0', 'ping at 3500']);
});

test('a late answer starts the count of missed ones anew', () => {
  const { clock, heartbeat, events } = beating(3);
  heartbeat.start();
  clock.advance(1_900);
  heartbeat.alive();
  clock.advance(1_900);
  assert.deepEqual(events.slice(-3), ['ping at 2400', 'ping at 2900', 'ping at 3400']);
  clock.advance(200);
  assert.equal(events.at(-1), 'dead at 3900');
});

test('after stop nothing happens and no timer is left', () => {
  const { clock, heartbeat, events } = beating(3);
  heartbeat.start();
  heartbeat.stop();
  assert.equal(clock.timersPending, 0);
  clock.advance(10_000);
  assert.deepEqual(events, ['ping at 0']);
});
