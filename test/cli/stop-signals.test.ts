import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { type SignalTarget, StopSignals } from '../../src/cli/stop-signals.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

class FakeProcess extends EventEmitter implements SignalTarget {
  readonly pid = 7;
  readonly kills: unknown[] = [];
  kill(pid: number, signal: NodeJS.Signals): void {
    this.kills.push([pid, signal, this.eventNames().length]);
  }
}

function signals() {
  const [clock, target] = [new ManualClock(), new FakeProcess()];
  const stop = new StopSignals(clock, target);
  return { clock, target, stop };
}

test('the first signal is told, the second ends the process at once', async () => {
  const { clock, target, stop } = signals();
  target.emit('SIGTERM', 'SIGTERM');
  assert.equal(await stop.first, 'SIGTERM');
  assert.deepEqual(target.kills, []);
  clock.advance(1000);
  target.emit('SIGTERM', 'SIGTERM');
  assert.deepEqual(target.kills, [[7, 'SIGTERM', 0]]);
});

test('one Ctrl-C that arrives twice, as below npm, is one', async () => {
  const { clock, target, stop } = signals();
  target.emit('SIGINT', 'SIGINT');
  target.emit('SIGINT', 'SIGINT');
  assert.equal(await stop.first, 'SIGINT');
  assert.deepEqual(target.kills, []);
  clock.advance(1000);
  target.emit('SIGINT', 'SIGINT');
  assert.deepEqual(target.kills, [[7, 'SIGINT', 0]]);
});

test('leaves no listener behind', () => {
  const { target, stop } = signals();
  stop.release();
  assert.deepEqual(target.eventNames(), []);
});
