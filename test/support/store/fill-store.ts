import {
  cancelled,
  completedWithFailures,
  controlOf,
  failed,
  failedChunk,
  insertOf,
  output,
  page,
  scopeControl,
  tries,
} from '../../../src/store/conformance/mutations.ts';
import { randomBatches } from '../../../src/store/conformance/random-batches.ts';
import { type StoreFixture, StoreSession } from '../../../src/store/conformance/session.ts';

const ODD = 'ü\u0000😀"\\\n';

/** Random contents, and beside them one of each thing that a store can hold. */
export async function fillStore(fixture: StoreFixture, seed: number): Promise<void> {
  await using session = await StoreSession.open(fixture);
  for (const batch of randomBatches(seed)) await session.commit(...batch);
  const end = 2n ** 63n - 1n;
  await session.commit(
    insertOf(20n, {
      prefix: 'ö/prefix',
      queue: 'images',
      chunksTotal: 9000,
      metadata: new Uint8Array(),
      strategicMetadata: new Map([
        [ODD, end],
        ['', -end - 1n],
      ]),
      otelTraceCarrier: '{"traceparent":"x"}',
      retryDelayMs: 0.1 + 0.2,
      retry: { triesMax: 3, delayMs: 5, factor: 1.5, delayMsMax: 1e9, jitter: 0.25 },
      failureMode: 'collect',
    }),
    page(
      20n,
      0,
      Array.from({ length: 4096 }, (_, i) => i),
    ),
    page(20n, 2, [1, 7]),
    tries(20n, 4100, 2, 1),
    failedChunk(20n, 4101, ODD),
    insertOf(
      21n,
      { prefix: null, chunksTotal: 3 },
      {
        idempotencyKey: `${seed} key`,
        directInputs: [new Uint8Array(), null, new Uint8Array(100_000).fill(seed)],
        control: controlOf({ startAfterMs: 5, deadlineMs: 2 ** 52, strategicMetadata: new Map([['a', 1n]]) }),
      },
    ),
    output(21n, 0),
    output(21n, 2, 1, 2, 3),
    insertOf(22n, { prefix: 'failed', metadata: new Uint8Array(300).fill(255) }),
    page(22n, 0, [3]),
    failed(22n, 1_700_000_000_000.25, 1, ODD),
    insertOf(23n, { prefix: 'cancelled' }),
    cancelled(23n, 7, 0, ODD, ''),
    insertOf(24n, { prefix: 'partly', failureMode: 'collect' }),
    failedChunk(24n, 1, ''),
    completedWithFailures(24n, 8, 1),
    scopeControl('*', 9),
    insertOf(end, { prefix: 'last', queue: 'z' }),
    cancelled(end, 1),
  );
  // What is forgotten leaves the highest id behind.
  if (seed % 2 === 0) await session.store.forget([end]);
}
