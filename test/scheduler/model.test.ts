import { test } from 'node:test';
import fc from 'fast-check';
import { Strategy } from '../../src/model/strategy.ts';
import { CHUNKS_MAX, ModelPair, type Step } from './model-pair.ts';

const base = fc.constantFrom(Strategy.oldest(), Strategy.newest(), Strategy.random());
const key = fc.constantFrom('a', 'b', 'c');
const values = fc.uniqueArray(fc.integer({ min: -1, max: 1 }), { minLength: 1, maxLength: 2 });

/** It can stand in a strategy twice. */
function isSmall(strategy: Strategy): boolean {
  return Strategy.toText(strategy).split(/[(,]/).length < 16;
}

/** Nests of every kind; those of the original more often. */
const { strategy } = fc.letrec<{ strategy: Strategy; nested: Strategy }>((tie) => ({
  strategy: fc.oneof({ maxDepth: 4, depthSize: 'small' }, base, tie('nested')),
  nested: fc.oneof(
    fc.tuple(key, tie('strategy')).map(([key, inner]) => Strategy.preferDistinct(key, inner)),
    fc.tuple(key, tie('strategy')).map(([key, inner]) => Strategy.preferDistinct(key, inner)),
    fc.tuple(key, tie('strategy')).map(([key, inner]) => Strategy.priority(key, inner)),
    fc
      .tuple(key, values, tie('strategy'))
      .map(([key, values, inner]) => Strategy.selectOnly(key, values, inner)),
    fc
      .tuple(key, values, tie('strategy'))
      .map(([key, values, inner]) => Strategy.selectExcept(key, values, inner)),
    fc
      .tuple(key, fc.integer({ min: 1, max: 3 }), tie('strategy'))
      .map(([key, max, inner]) => Strategy.maxSimultaneous(key, max, inner)),
    fc.tuple(tie('strategy'), tie('strategy')).map(([first, fallback]) => Strategy.orElse(first, fallback)),
    // Two alternatives that ask the same plan for different values.
    fc
      .tuple(fc.constantFrom('selectOnly', 'selectExcept'), key, values, values, tie('strategy'))
      .map(([select, key, some, others, inner]) =>
        isSmall(inner)
          ? Strategy.orElse(Strategy[select](key, some, inner), Strategy[select](key, others, inner))
          : inner,
      ),
  ),
}));

const number = fc.nat(20);
const chunk = fc.record({ submission: number, index: fc.nat(CHUNKS_MAX - 1) });
const meta = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: -1, max: 1 }), { maxKeys: 3 });

const control = fc.record({
  isPaused: fc.boolean(),
  startInMs: fc.constantFrom(null, null, -5, 0, 20, 60),
  deadlineInMs: fc.constantFrom(null, null, null, 0, 30, 70_000),
  meta: fc.option(meta),
});

/** How often a call comes, and with what. */
const steps: {
  [K in Step['kind']]: [number, { [F in keyof Extract<Step, { kind: K }>]: fc.Arbitrary<unknown> }];
} = {
  insert: [
    4,
    {
      kind: fc.constant('insert'),
      chunksTotal: fc.integer({ min: 1, max: CHUNKS_MAX }),
      done: fc.option(fc.subarray([0, 1, 2, 3, 4], { maxLength: 3 }), { freq: 1 }),
      meta,
      failed: fc.subarray([0, 1, 2, 3, 4]),
      retryDelayMs: fc.constantFrom(0, 0, 30),
      retry: fc.constantFrom(
        null,
        { triesMax: 4, delayMs: 10, factor: 2, delayMsMax: 30, jitter: 0.5 },
        { triesMax: null, delayMs: 16, factor: 1, delayMsMax: 60_000, jitter: 1 },
        { triesMax: 2, delayMs: 0.5, factor: 3, delayMsMax: 1, jitter: 0 },
      ),
      failureMode: fc.constantFrom('fail', 'collect'),
      setAside: fc.subarray([0, 1, 2, 3, 4]),
      id: fc.constantFrom('next', 'next', 'far', 'lower'),
      control: fc.option(control, { freq: 1 }),
    },
  ],
  reserve: [
    8,
    { kind: fc.constant('reserve'), who: number, max: fc.constantFrom(1, 1, 2, 7), strategy: number },
  ],
  complete: [6, { kind: fc.constant('complete'), who: fc.option(number), chunk }],
  completeHeld: [3, { kind: fc.constant('completeHeld'), who: number }],
  fail: [
    4,
    {
      kind: fc.constant('fail'),
      who: number,
      chunk,
      retryable: fc.constantFrom(true, true, true, true, false),
      delayMs: fc.constantFrom(0, 0, 40),
    },
  ],
  release: [2, { kind: fc.constant('release'), who: number, chunk }],
  extend: [1, { kind: fc.constant('extend'), who: number, chunk }],
  extendHeld: [3, { kind: fc.constant('extendHeld'), who: number }],
  advance: [4, { kind: fc.constant('advance'), ms: fc.constantFrom(1, 10, 60) }],
  connect: [
    1,
    {
      kind: fc.constant('connect'),
      concurrency: fc.integer({ min: 1, max: 3 }),
      silentOnExpiry: fc.boolean(),
    },
  ],
  disconnect: [
    2,
    { kind: fc.constant('disconnect'), who: number, manner: fc.constantFrom('orderly', 'broken', 'broken') },
  ],
  cancelReserve: [1, { kind: fc.constant('cancelReserve'), which: number }],
  cancel: [1, { kind: fc.constant('cancel'), submission: number }],
  retry: [2, { kind: fc.constant('retry'), submission: number }],
  forget: [1, { kind: fc.constant('forget') }],
  hold: [1, { kind: fc.constant('hold'), held: fc.constantFrom(true, false, false) }],
  pause: [1, { kind: fc.constant('pause'), isPaused: fc.constantFrom(true, false, false) }],
  control: [4, { kind: fc.constant('control'), submission: number, control }],
  find: [1, { kind: fc.constant('find'), meta, limit: fc.nat(4) }],
};

const step = fc.oneof(
  ...Object.values(steps).map(([weight, fields]) => ({ weight, arbitrary: fc.record(fields) })),
) as fc.Arbitrary<Step>;

test('does what a naive model with plain lists does, whatever is called', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 10, maxLength: 120, size: 'max' }),
      fc.nat(),
      fc.constantFrom(1, 2, 32),
      fc.integer({ min: 1, max: 10 }),
      // Few, so that several wait with the same one, and with others that its plan serves.
      fc.array(strategy, { minLength: 1, maxLength: 6 }),
      (steps, seed, plansMax, checkEvery, strategies) => {
        const pair = new ModelPair(seed, plansMax, strategies);
        for (const [at, step] of steps.entries()) {
          pair.run(step);
          if (at % checkEvery === 0) pair.scene.scheduler.checkInvariants();
        }
        pair.scene.scheduler.checkInvariants();
        pair.driveToTheEnd();
        pair.scene.scheduler.checkInvariants();
      },
    ),
    { numRuns: 300 },
  );
});
