import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ObjectStoreErrorCode } from '../../src/objects/errors.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { seededRandom } from '../../src/system/random.ts';
import { bytes, listed, rejectsWith } from '../conformance/object-store.ts';
import type { RunningFake } from '../support/fakes/fake-server.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { type Fault, startFaultProxy } from '../support/network/fault-proxy.ts';
import { type ObjectServer, SERVERS } from '../support/objects/object-servers.ts';
import { eventually } from '../support/time/eventually.ts';

interface Case {
  readonly name: string;
  readonly fault: Fault;
  /** What it is if it never ends; null: then too all is well. */
  readonly code: ObjectStoreErrorCode | null;
}

/** Faults that pass: with one of them in front every call succeeds. */
const PASSING: readonly Case[] = [
  { name: 'status-500', fault: { kind: 'status', status: 500 }, code: 'OBJECT_FAILED' },
  { name: 'status-503', fault: { kind: 'status', status: 503 }, code: 'OBJECT_THROTTLED' },
  { name: 'status-429', fault: { kind: 'status', status: 429 }, code: 'OBJECT_THROTTLED' },
  { name: 'status-408', fault: { kind: 'status', status: 408 }, code: 'OBJECT_UNREACHABLE' },
  { name: 'hang', fault: { kind: 'hang' }, code: 'OBJECT_UNREACHABLE' },
  { name: 'delay', fault: { kind: 'delay', delayMs: 50 }, code: null },
  { name: 'reset-before', fault: { kind: 'reset-before' }, code: 'OBJECT_UNREACHABLE' },
  { name: 'lost-answer', fault: { kind: 'lost-answer' }, code: 'OBJECT_UNREACHABLE' },
  { name: 'reset-after', fault: { kind: 'reset-after' }, code: 'OBJECT_UNREACHABLE' },
  { name: 'truncation', fault: { kind: 'truncation' }, code: 'OBJECT_UNREACHABLE' },
  { name: 'stall', fault: { kind: 'stall' }, code: 'OBJECT_UNREACHABLE' },
];

/** Faults that nobody waits for. */
const FINAL: readonly Case[] = [
  { name: 'status-403', fault: { kind: 'status', status: 403 }, code: 'OBJECT_DENIED' },
  { name: 'status-401', fault: { kind: 'status', status: 401 }, code: 'OBJECT_DENIED' },
  { name: 'status-400', fault: { kind: 'status', status: 400 }, code: 'OBJECT_FAILED' },
];

for (const [scheme, start] of Object.entries(SERVERS)) {
  describe(`faults in front of ${scheme}:`, { concurrency: 8 }, () => {
    let server: ObjectServer;
    let proxy: RunningFake;
    /** Faults to come, by the base path in the request. */
    const faults = new Map<string, { fault: Fault; times: number; seen: number }>();
    const stores: ObjectStore[] = [];

    before(async () => {
      server = await start();
      proxy = await startFaultProxy(server.origin, ({ url, body }) => {
        // Batches name their objects in the body.
        const [, armed] = [...faults].find(([name]) => url.includes(name) || body.includes(name)) ?? [];
        if (armed === undefined) return null;
        armed.seen++;
        return armed.seen <= armed.times ? armed.fault : null;
      });
    });
    after(async () => {
      for (const store of stores) await store.close();
      await proxy?.stop();
      await server?.stop();
    });

    const open = async (name: string, options = {}, logger = recordingLogger()) => {
      const place = server.place(name, proxy.origin);
      const quick = { timeout: '500ms', retry_first_wait: '2ms', retry_max_wait: '20ms', ...options };
      const context = { logger, random: seededRandom(7) };
      const store = await openObjectStore(place.url, { ...place.options, ...quick }, context);
      stores.push(store);
      return store;
    };
    const arm = (name: string, fault: Fault, times: number) => {
      const armed = { fault, times, seen: 0 };
      faults.set(name, armed);
      return armed;
    };

    for (const { name, fault, code } of PASSING) {
      test(`${name}: puts, gets, lists and deletes succeed once it is over, and say what they wait for`, async () => {
        const place = `passing-${name}-end`;
        const logger = recordingLogger();
        const store = await open(place, {}, logger);
        for (const call of [
          () => store.put('p/0-in.bin', bytes(50_000)),
          async () => assert.deepEqual(new Uint8Array(await store.get('p/0-in.bin')), bytes(50_000)),
          async () => assert.deepEqual(await listed(store, 'p'), ['p/0-in.bin']),
          () => store.delete(['p/0-in.bin']),
        ]) {
          const times = fault.kind === 'hang' || fault.kind === 'stall' ? 1 : 2;
          const armed = arm(place, fault, times);
          await call();
          assert.ok(armed.seen >= times || fault.kind === 'delay', `only ${armed.seen} requests`);
        }
        faults.delete(place);
        assert.deepEqual(await listed(store, ''), []);
        const waits = logger.lines.filter(({ message }) =>
          message.startsWith('waiting for the object store: '),
        );
        assert.ok(waits.length > 0 || code === null);
        assert.ok(waits.every(({ level, message }) => level === 'warn' && message.includes(`${place}/p/`)));
      });

      test(`${name}: a get under it for ever ends with ${code ?? 'the object'}`, async () => {
        const place = `lasting-${name}-end`;
        // Only what never answers has to run into it; a busy machine may take long for the others.
        const timeout = fault.kind === 'hang' || fault.kind === 'stall' ? '500ms' : '10s';
        const store = await open(place, { max_retries: 2, timeout });
        const body = bytes(50_000);
        // With the usual time-out: a busy machine may take longer than the short one.
        await (await open(place)).put('p/0-in.bin', body);
        const armed = arm(place, fault, Infinity);
        if (code === null) {
          assert.deepEqual(new Uint8Array(await store.get('p/0-in.bin')), body);
          return;
        }
        const error = await rejectsWith(code, store.get('p/0-in.bin'), 'p/0-in.bin');
        assert.match(error.message, /gave up after 3 tries/);
        assert.equal(armed.seen, 3);
        assert.ok(error.cause instanceof Error || error.cause === undefined || fault.kind === 'status');
      });
    }

    for (const { name, fault, code } of FINAL) {
      test(`${name}: is told at once`, async () => {
        const place = `final-${name}-end`;
        const store = await open(place);
        const armed = arm(place, fault, Infinity);
        const error = await rejectsWith(
          code ?? 'OBJECT_FAILED',
          store.put('p/0-in.bin', bytes(10)),
          'p/0-in.bin',
        );
        assert.equal(error.status, fault.kind === 'status' ? fault.status : null);
        await rejectsWith(code ?? 'OBJECT_FAILED', store.get('p/0-in.bin'), 'p/0-in.bin');
        // A refused login of gs: is renewed once.
        assert.ok(armed.seen <= (name === 'status-401' ? 4 : 2), `${armed.seen} requests`);
      });
    }

    test('damage: what is read is what was written, or an error', async () => {
      const place = 'damage-end';
      const store = await open(place, { max_retries: 2 });
      await store.put('p/0-in.bin', bytes(50_000));
      // One damaged answer, then a good one.
      arm(place, { kind: 'damage' }, 1);
      assert.deepEqual(new Uint8Array(await store.get('p/0-in.bin')), bytes(50_000));
      arm(place, { kind: 'damage' }, Infinity);
      await rejectsWith('OBJECT_CORRUPT', store.get('p/0-in.bin'), 'p/0-in.bin');
    });

    test('an aborted call ends at once, also while it waits', async () => {
      const place = 'aborted-end';
      const store = await open(place, { timeout: '60s', retry_first_wait: '60s', retry_max_wait: '60s' });
      for (const fault of [{ kind: 'hang' }, { kind: 'stall' }, { kind: 'status', status: 503 }] as const) {
        arm(place, { kind: 'delay', delayMs: 0 }, 0);
        await store.put('p/0-in.bin', bytes(10_000));
        const armed = arm(place, fault, Infinity);
        const controller = new AbortController();
        const reason = new Error('enough');
        const got = store.get('p/0-in.bin', { signal: controller.signal });
        while (armed.seen === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        controller.abort(reason);
        await assert.rejects(got, reason);
      }
    });

    test('a call that is under way when the store is closed ends at once, also while it waits', async () => {
      const place = 'closed-end';
      for (const fault of [{ kind: 'hang' }, { kind: 'stall' }, { kind: 'status', status: 503 }] as const) {
        for (const options of [{}, { signal: new AbortController().signal }]) {
          const logger = recordingLogger();
          const patient = { timeout: '60s', retry_first_wait: '60s', retry_max_wait: '60s' };
          const store = await open(place, patient, logger);
          arm(place, { kind: 'delay', delayMs: 0 }, 0);
          await store.put('p/0-in.bin', bytes(10_000));
          const armed = arm(place, fault, Infinity);
          const ended = rejectsWith('OBJECT_FAILED', store.get('p/0-in.bin', options), 'p/0-in.bin');
          await eventually(() => (fault.kind === 'status' ? logger.lines.length > 0 : armed.seen > 0));
          await store.close();
          assert.match((await ended).message, /is closed/);
          assert.equal(armed.seen, 1);
        }
      }
    });

    test('a server that is away: waits, and says so in the end', async () => {
      const place = server.place('away', 'http://127.0.0.1:9');
      const store = await openObjectStore(place.url, {
        ...place.options,
        max_retries: 1,
        retry_first_wait: '1ms',
      });
      stores.push(store);
      const error = await rejectsWith('OBJECT_UNREACHABLE', store.put('p/0-in.bin', bytes(1)), 'p/0-in.bin');
      assert.match(error.message, /ECONNREFUSED/);
    });
  });
}
