import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change, VerbAnswer, VerbRequest, VerbTarget } from '../../src/model/verbs.ts';
import {
  formatActionAnswer,
  formatProblem,
  parseActionAnswer,
  parseProblem,
} from '../../src/protocol/producer/action-answers.ts';
import { formatActionRequest, parseActionRequest } from '../../src/protocol/producer/actions.ts';
import { formatStatus, parseStatus } from '../../src/protocol/producer/requests.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';

const MIN = -(1n << 63n);

const CHANGES: readonly Change[] = [
  { verb: 'pause', cause: 'disk.full' },
  { verb: 'resume', cause: 'manual' },
  { verb: 'resume', cause: null },
  { verb: 'cancel' },
  {
    verb: 'set',
    strategicMetadata: new Map<string, bigint | null>([
      ['__proto__', MIN],
      ['ü "', null],
    ]),
    deadlineMs: 12_345,
    startAfterMs: null,
  },
];
const TARGETS: readonly VerbTarget[] = [
  { kind: 'submissions', ids: [0n, (1n << 63n) - 1n], queue: null },
  { kind: 'submissions', ids: [1n], queue: '' },
  { kind: 'matching', metadata: new Map([['k', MIN]]), state: 'paused', queue: '' },
  { kind: 'matching', metadata: new Map(), state: 'open', failure: 'f-1', queue: null },
  { kind: 'queue', queue: '' },
  { kind: 'queue', queue: 'images' },
  { kind: 'server' },
];

test('what a client writes of a verb is what the server reads', () => {
  for (const change of CHANGES) {
    for (const target of TARGETS) {
      for (const more of [
        { reason: null, isDryRun: false, expected: null },
        { reason: 'ü "\u0000', isDryRun: true, expected: 0 },
      ]) {
        const request: VerbRequest = { change, target, by: 'ann@host', ...more };
        assert.deepEqual(
          parseActionRequest(change.verb, formatActionRequest(request), 'caller', ''),
          request,
        );
      }
    }
  }
});

const PAUSED = { cause: 'manual', by: 'ann@host', reason: null, sinceMs: 1_000 };

test('what the server answers is what a client reads', () => {
  const answer: VerbAnswer = {
    verb: 'pause',
    isDryRun: true,
    matched: 4,
    done: 3,
    unchanged: 1,
    stillPaused: 2,
    holds: [
      { of: 'submission', queue: null, submissions: 1, ...PAUSED },
      { of: 'queue', queue: '', submissions: 2, ...PAUSED, reason: 'ü' },
      { of: 'server', queue: null, submissions: 2, ...PAUSED },
    ],
    ids: [1n, (1n << 63n) - 1n],
    skipped: [{ id: 5n, code: 'SUBMISSION_ENDED', text: 'over' }],
  };
  assert.deepEqual(parseActionAnswer('pause', formatActionAnswer(answer)), answer);
  for (const queue of [null, '', 'images']) {
    const problem = { status: 404, code: 'NOTHING_MATCHES', detail: 'no "k"', queue };
    assert.deepEqual(parseProblem(404, formatProblem(problem)), problem);
  }
  assert.equal(parseProblem(404, '<html>'), null);
  assert.equal(parseProblem(404, '{"detail":5}'), null);
});

test('a status tells clients of ours what verbs have changed, and others nothing', () => {
  const act = { verb: 'set', detail: 'k=1', by: 'ann@host', reason: 'ü', atMs: 2_000 } as const;
  const control = {
    pauses: [PAUSED],
    queuePauses: [{ ...PAUSED, reason: 'night' }],
    deadlineMs: 5_000,
    startAfterMs: 4_000,
    history: [act],
    strategicMetadata: null,
  };
  const { queue: _, ...record } = submissionRecord({ id: 1n, prefix: 'p' });
  const cancellation = { by: 'ann@host', reason: 'wrong file' };
  for (const status of [
    { state: 'in_progress', chunksDone: 1, chunksFailed: 0, record: { ...record, control } },
    { state: 'cancelled', chunksDone: 1, endedAtMs: 9, record: { ...record, control }, cancellation },
  ] as const) {
    assert.deepEqual(parseStatus(formatStatus(status, true)), status);
    const { control: __, ...untold } = status.record;
    assert.deepEqual(formatStatus(status), formatStatus({ ...status, record: untold }));
  }
});
