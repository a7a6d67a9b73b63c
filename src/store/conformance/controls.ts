import assert from 'node:assert/strict';
import { type Act, type Control, NO_SCOPE_CONTROL } from '../../model/control.ts';
import type { ConformanceContext } from './context.ts';
import { cancelled, completed, control, insertOf, scopeControl } from './mutations.ts';

const ACT: Act = {
  verb: 'pause',
  detail: 'manual',
  by: 'ann@host',
  reason: 'the disk "ü" \u0000',
  atMs: 12.5,
};

/** Every field at an extreme. */
const FULL: Control = {
  pauses: [
    { cause: 'manual', by: 'ann@host', reason: ACT.reason, sinceMs: 12.5 },
    { cause: 'disk.full', by: '', reason: null, sinceMs: 0 },
  ],
  history: Array.from({ length: 20 }, (_, i) => ({ ...ACT, atMs: i })),
  deadlineMs: 2 ** 53 - 1,
  startAfterMs: 0.5,
  strategicMetadata: new Map([
    ['__proto__', -(1n << 63n)],
    ['', (1n << 63n) - 1n],
  ]),
};

/** What verbs change of submissions, queues and the server. */
export function storeControlConformance({ name, use, describe, test }: ConformanceContext): void {
  describe(`${name}: what verbs have changed`, () => {
    test('comes back whole, whether it came with the insert or later', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, {}, { control: FULL }), insertOf(2n), insertOf(3n));
        await session.commit({ kind: 'control', id: 2n, control: FULL });
        await using next = await session.reopen();
        const loaded = await next.loadAll();
        const { control: untouched } = loaded[2]!;
        assert.deepEqual(
          loaded.map(({ control: each }) => each),
          [FULL, FULL, untouched],
        );
        assert.deepEqual([...(loaded[1]?.control.strategicMetadata ?? [])], [...FULL.strategicMetadata!]);
        assert.deepEqual([untouched.pauses, untouched.history, untouched.deadlineMs], [[], [], null]);
        assert.deepEqual((await next.read((store) => store.findById(2n)))?.control, FULL);
        // What was inserted stays what it was: an insert that is repeated is compared with it.
        assert.deepEqual(loaded[1]?.record.strategicMetadata, new Map());
      }));

    test('is replaced as a whole, the last one counts', () =>
      use(async (session) => {
        await session.commit(insertOf(1n), { kind: 'control', id: 1n, control: FULL });
        await session.commit(control(1n, { deadlineMs: 5 }), control(1n, { startAfterMs: 6 }));
        const found = await session.read((store) => store.findById(1n));
        assert.deepEqual([found?.control.pauses, found?.control.deadlineMs], [[], null]);
        assert.equal(found?.control.startAfterMs, 6);
      }));

    test('stays with a submission that has ended, and changes no more', () =>
      use(async (session) => {
        await session.commit(insertOf(1n), insertOf(2n), control(1n, { deadlineMs: 5 }));
        await session.commit(control(2n, { deadlineMs: 6 }), completed(1n, 10), cancelled(2n, 10));
        await session.commit(control(1n, { deadlineMs: 7 }), control(2n, { deadlineMs: 7 }), control(9n, {}));
        await using next = await session.reopen();
        const ended = await next.read((store) => store.ended({ queue: '', limit: 10 }));
        assert.deepEqual(
          ended.map(({ control: { deadlineMs } }) => deadlineMs),
          [6, 5],
        );
        assert.equal(await next.read((store) => store.findById(9n)), null);
      }));

    test('of queues and the server is kept apart from submissions, for ever', () =>
      use(async (session) => {
        assert.deepEqual(await session.read((store) => store.scopeControls()), new Map());
        await session.commit(scopeControl('*', 1), scopeControl('', 2), scopeControl('images', 3));
        await session.commit(scopeControl('images', 4));
        await using next = await session.reopen();
        const scopes = await next.read((store) => store.scopeControls());
        assert.deepEqual(
          new Map([...scopes].map(([scope, { pauses }]) => [scope, pauses[0]?.sinceMs])),
          new Map([
            ['*', 1],
            ['', 2],
            ['images', 4],
          ]),
        );
        assert.deepEqual(await next.loadAll(), []);
      }));

    test('of a queue is forgotten when nothing is left to remember', () =>
      use(async (session) => {
        const nothing = { kind: 'scope_control', scope: 'images', control: NO_SCOPE_CONTROL } as const;
        await session.commit(scopeControl('', 1), scopeControl('images', 2));
        await session.commit(nothing, { ...nothing, scope: 'never there' });
        await session.commit(scopeControl('bills', 3), nothing, scopeControl('images', 4), nothing);
        await using next = await session.reopen();
        const scopes = await next.read((store) => store.scopeControls());
        assert.deepEqual([...scopes.keys()].sort(), ['', 'bills']);
      }));
  });
}
