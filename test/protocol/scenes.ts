import { submissionRecord } from '../../src/store/conformance/records.ts';
import { withParts } from '../../src/system/parts.ts';
import type { SceneStep } from '../support/replay/deviation.ts';
import type { Surroundings } from '../support/replay/replay.ts';
import type { Wanted } from '../support/replay/scene.ts';

/** By session. */
export const SURROUNDINGS: ReadonlyMap<string, Surroundings> = new Map<string, Surroundings>([
  ['cancel_ok_and_status_cancelled', { inProgress: [7530730150070059008n] }],
  ['count', { steps: before(-1, waiting(1n, 'counted')) }],
  [
    'count_completed',
    { steps: before(-1, { ...waiting(1n, 'counted'), state: 'completed', chunksDone: 1 }) },
  ],
  [
    'lookup_id_by_prefix',
    { alsoThere: [7530730148555915264n, 7530730148581081088n, 7530730148971151360n, 7530730150070059008n] },
  ],
  [
    'lookup_ids_by_strategic_metadata',
    {
      steps: before(
        -1,
        waiting(7530730157418479616n, 'instead-of-a-b-c'),
        waiting(7530730158102151168n, 'foo', { foo: 1n }),
        waiting(7530730158110539776n, 'foo-and-bar', { foo: 1n, bar: 3n }),
      ),
    },
  ],
  [
    'lookup_too_many',
    {
      steps: new Map([
        ...before(
          -1,
          waiting(7530730182072598528n, 'first', { k: 1n }),
          waiting(7530730182080987136n, 'second', { k: 1n }),
        ),
        ...before(3, waiting(1n, 'third', { k: 1n })),
      ]),
    },
  ],
  // The limit of the reference; the default of ours is larger.
  ['body_too_large', { server: { bodyBytesMax: 2_097_152 } }],
  // What Random drew.
  ['each_strategy_answered_at_once', { server: withParts({}, { random: { next: () => 0.999 } }) }],
  ['server_stops_answering', { isUntimed: true }],
  ['server_sigint', { stopsBefore: 10 }],
  ['server_sigterm', { stopsBefore: 10 }],
]);

function before(index: number, ...wanted: readonly Wanted[]): Map<number, readonly SceneStep[]> {
  return new Map([[index, wanted.map((one) => ({ kind: 'insert' as const, wanted: one }))]]);
}

function waiting(
  id: bigint,
  prefix: string,
  strategicMetadata: Readonly<Record<string, bigint>> = {},
): Wanted {
  const record = submissionRecord({
    id,
    prefix,
    chunksTotal: 1,
    strategicMetadata: new Map(Object.entries(strategicMetadata)),
  });
  return { record, state: 'in_progress', chunksDone: 0 };
}
