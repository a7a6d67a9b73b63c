import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ObjectStoreError } from '../../src/objects/errors.ts';
import { OptionReader } from '../../src/objects/options.ts';
import type { ObjectBackend } from '../../src/objects/remote/backend.ts';
import {
  type CallRetryPolicy,
  retryPolicy,
  type StoreWait,
  withRetries,
} from '../../src/objects/remote/retries.ts';
import { seededRandom } from '../../src/system/random.ts';
import { retryAfterMs } from '../../src/system/time/retry-after.ts';
import { rejectsWith } from '../conformance/object-store.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const NEVER = new AbortController().signal;

function failure(options: { retryable?: boolean; retryAfterMs?: number } = {}): ObjectStoreError {
  return new ObjectStoreError('OBJECT_THROTTLED', 'k', 'object k: get: HTTP status 503', {
    retryable: true,
    status: 503,
    ...options,
  });
}

/** A backend whose `get` is the function, under a clock that stands still. */
function setUp(get: ObjectBackend['get'], policy: Partial<CallRetryPolicy> = {}) {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const waits: StoreWait[] = [];
  const unused = () => assert.fail('not called');
  const store = withRetries(
    { deleteMax: 1, put: unused, get, delete: unused, list: unused, close: async () => {} },
    { ...retryPolicy(new OptionReader({}, '')), ...policy },
    { url: 's3://b', clock, random: seededRandom(1), logger, onWait: (wait) => waits.push(wait) },
  );
  return { store, clock, logger, waits };
}

/** Lets the clock run until the promise is settled. */
async function running<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await eventually(() => {
    clock.advance(200);
    return settled;
  });
  return promise;
}

describe('retries of remote stores', () => {
  test('wait 100 ms, then between 100 ms and twice the last wait, at most 15 s, for 10 retries', async () => {
    const { store, clock, waits } = setUp(() => Promise.reject(failure({ retryAfterMs: 50 })));
    const error = await running(clock, rejectsWith('OBJECT_THROTTLED', store.get('k', NEVER)));
    assert.match(error.message, /HTTP status 503 \(gave up after 11 tries in [0-9.]+ s\)/);
    assert.equal(error.status, 503);
    assert.equal(waits.length, 10);
    assert.deepEqual([error.retryable, error.retryAfterMs], [true, 50]);
    let lastMs = 100;
    for (const [at, { waitMs, tries, what, key, url }] of waits.entries()) {
      assert.deepEqual([tries, what, key, url], [at + 1, 'get', 'k', 's3://b']);
      assert.ok(
        waitMs >= 100 && waitMs <= Math.min(15_000, Math.max(100, 2 * lastMs)),
        `${waitMs} after ${lastMs}`,
      );
      lastMs = waitMs;
    }
    assert.equal(waits[0]?.waitMs, 100);
    assert.ok(new Set(waits.map(({ waitMs }) => waitMs)).size > 5);
    assert.equal(clock.timersPending, 0);
  });

  test('stop at a success, and leave no timer', async () => {
    let calls = 0;
    const { store, clock } = setUp(() => {
      calls++;
      return calls < 3 ? Promise.reject(failure()) : Promise.resolve(new Uint8Array([1]));
    });
    assert.deepEqual(await running(clock, store.get('k', NEVER)), new Uint8Array([1]));
    assert.equal(calls, 3);
    assert.equal(clock.timersPending, 0);
  });

  test('do not begin after the retry time-out', async () => {
    const { store, clock } = setUp(() => Promise.reject(failure()), {
      retryTimeoutMs: 500,
      retriesMax: 1_000,
    });
    const beganMs = clock.monotonicMs();
    await running(clock, rejectsWith('OBJECT_THROTTLED', store.get('k', NEVER)));
    assert.ok(clock.monotonicMs() - beganMs <= 700);
  });

  test('wait as long as the store asks, up to the longest wait', async () => {
    for (const [asked, waited] of [
      [7_000, 7_000],
      [60_000, 15_000],
      [1, 100],
    ] as const) {
      let calls = 0;
      const { store, clock, waits } = setUp(() =>
        calls++ === 0 ? Promise.reject(failure({ retryAfterMs: asked })) : Promise.resolve(new Uint8Array(0)),
      );
      await running(clock, store.get('k', NEVER));
      assert.deepEqual(
        waits.map(({ waitMs }) => waitMs),
        [waited],
      );
    }
  });

  test('do not follow an error that another try cannot mend, nor one that is not understood', async () => {
    for (const error of [failure({ retryable: false }), new TypeError('a bug')]) {
      const { store, waits } = setUp(() => Promise.reject(error));
      await assert.rejects(store.get('k', NEVER), (thrown) => thrown === error);
      assert.equal(waits.length, 0);
    }
  });

  test('begin when a try has not ended in its time, even if it does not hear of that', async () => {
    let signal: AbortSignal | undefined;
    let calls = 0;
    const { store, clock, waits } = setUp((_, attempt) => {
      signal ??= attempt;
      return calls++ === 0 ? new Promise(() => {}) : Promise.resolve(new Uint8Array(0));
    });
    await running(clock, store.get('k', NEVER));
    assert.equal(signal?.aborted, true);
    assert.equal(waits[0]?.error.code, 'OBJECT_UNREACHABLE');
    assert.match(waits[0]?.error.message ?? '', /not done within 30000 ms/);
    assert.equal(clock.timersPending, 0);
  });

  test('end when the caller aborts, with its reason', async () => {
    const { store, clock, waits } = setUp(() => Promise.reject(failure()));
    const controller = new AbortController();
    const got = store.get('k', controller.signal);
    await eventually(() => waits.length === 1 && clock.timersPending === 1);
    controller.abort(new Error('enough'));
    await assert.rejects(got, /enough/);
    assert.equal(clock.timersPending, 0);
  });

  test('are told in the log once in five seconds, however many calls wait', async () => {
    const { store, clock, logger } = setUp(() => Promise.reject(failure()), { retriesMax: 40 });
    const calls = Array.from({ length: 20 }, () => rejectsWith('OBJECT_THROTTLED', store.get('k', NEVER)));
    const beganMs = clock.monotonicMs();
    await running(clock, Promise.all(calls));
    const spentMs = clock.monotonicMs() - beganMs;
    const lines = logger.lines.map(({ message }) => message);
    assert.ok(lines.length >= 2 && lines.length <= spentMs / 5_000 + 1, `${lines.length} in ${spentMs} ms`);
    assert.match(
      lines[0] ?? '',
      /^waiting for the object store: object k: get: HTTP status 503; trying again in 100 ms$/,
    );
    assert.match(lines[1] ?? '', /as \d+ other calls since the last such line/);
  });
});

describe('options of object stores', () => {
  const reader = (options: Record<string, string | number | boolean>) => new OptionReader(options, 'aws_');

  test('have names with and without their prefix, in any case', () => {
    for (const name of ['region', 'aws_region', 'AWS_REGION']) {
      assert.equal(reader({ [name]: 'eu' }).text('region'), 'eu');
    }
    assert.equal(reader({ region: '' }).text('region'), undefined);
    assert.equal(reader({ aws_default_region: 'x', aws_region: 'y' }).text('region', 'default_region'), 'y');
  });

  test('take times with a unit', () => {
    const times = { '30s': 30_000, '500ms': 500, '1m 30s': 90_000, '2 minutes': 120_000, '1.5s': 1_500 };
    for (const [text, ms] of Object.entries(times))
      assert.equal(reader({ timeout: text }).durationMs(1, 'timeout'), ms);
    for (const wrong of ['30', '', 's', '30x', '-1s', '0s', 'soon']) {
      assert.throws(
        () => reader({ timeout: wrong }).durationMs(1, 'timeout'),
        new RegExp(`timeout must be a duration .*, got ${JSON.stringify(wrong)}$`),
        wrong,
      );
    }
    assert.throws(
      () => reader({ timeout: 30 }).durationMs(1, 'timeout'),
      /timeout must be a duration with its unit, .*, got "30"$/,
    );
  });

  test('take flags and integers in the usual spellings', () => {
    for (const yes of [true, 'true', '1', 'YES', 'on']) {
      assert.equal(reader({ allow_http: yes }).flag(false, 'allow_http'), true);
    }
    assert.equal(reader({ allow_http: 'off' }).flag(true, 'allow_http'), false);
    assert.throws(
      () => reader({ allow_http: 'maybe' }).flag(true, 'allow_http'),
      /allow_http must be true or false, got "maybe"$/,
    );
    assert.equal(reader({ max_retries: '3' }).integer(10, 0, 'max_retries'), 3);
    for (const wrong of ['-1', '1.5', 'x', '1e3']) {
      assert.throws(() => reader({ max_retries: wrong }).integer(10, 0, 'max_retries'), /max_retries/);
    }
  });

  test('must be plain data', () => {
    const wrong: Record<string, string> = { region: Object('eu') };
    assert.throws(() => reader(wrong), /region must be a string, a number or a boolean, got String$/);
  });
});

describe('Retry-After', () => {
  test('is seconds or a date', () => {
    assert.equal(retryAfterMs('3', 0), 3_000);
    assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 4_000), 6_000);
    assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 60_000), 0);
    assert.equal(retryAfterMs('soon', 0), undefined);
    assert.equal(retryAfterMs(undefined, 0), undefined);
  });
});
