import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { filterQuery } from '../../src/cli/top/filter.ts';
import { keysOf, pressed } from '../../src/cli/top/keys.ts';
import { linesOf, widthOf } from '../../src/cli/top/screen.ts';
import { newTop, type TopState } from '../../src/cli/top/state.ts';
import type { Overview } from '../../src/protocol/api/overview.ts';
import type { SubmissionItem } from '../../src/protocol/api/submissions.ts';

const FRAME = { as_of: '2030-01-01T12:34:56.000Z', age_ms: 0 };
const OVERVIEW: Overview = {
  ...FRAME,
  since: FRAME.as_of,
  queue: null,
  state: 'running',
  counts: {
    submissions_open: 2,
    submissions_paused: 0,
    chunks_backlog: 1_234_567,
    operations_backlog: 12_345_670,
    chunks_waiting: 1_234_000,
    chunks_reserved: 567,
    chunks_delayed: 0,
    chunks_paused: 0,
    chunks_failed: 3,
    consumers: 10,
    consumers_working: 8,
    consumers_waiting: 0,
    consumers_sick: 0,
  },
  totals: {
    submissions_inserted: 2,
    submissions_completed: 0,
    submissions_failed: 0,
    submissions_cancelled: 0,
    chunks_done: 0,
    chunks_set_back: 0,
  },
  rates: {
    last_1s: { inserted: 0, done: 1_600, set_back: 0 },
    last_10s: { inserted: 0, done: 812, set_back: 0 },
    last_60s: { inserted: 0, done: 790, set_back: 0 },
  },
  oldest_waiting: null,
  left_ms: null,
  longest_left: [],
  strategies: [],
  store: {
    healthy: true,
    error: null,
    stuck_ms: null,
    hand_out_held: false,
    commit_ms: null,
    last_commit: null,
    pending_bytes: 0,
    size_bytes: null,
    disk_free_bytes: null,
    disk_total_bytes: null,
  },
  event_loop_delay_ms: { p50: 0, p99: 0 },
  pauses: [],
  attention: [],
};

function item(id: string, prefix: string): SubmissionItem {
  return {
    id,
    queue: '-',
    prefix,
    state: 'running',
    failing: false,
    chunks: { total: 4, done: 1, reserved: 1, waiting: 2, delayed: 0, paused: 0, failed: 0 },
    chunk_size: 1,
    rate: 1.5,
    left_ms: { p50: 60_000, p90: 90_000 },
    left_unknown: null,
    metadata: { customer: '42' },
    inserted: FRAME.as_of,
    ended: null,
    deadline: null,
    start_after: null,
    set_back: 0,
    oldest_held_ms: null,
    oldest_held_since: null,
    pauses: [],
  };
}

const STATE: TopState = {
  ...newTop('localhost:3999', 'rate'),
  overview: OVERVIEW,
  items: Array.from({ length: 30 }, (_, at) => item(String(1_000 + at), `batch ${at}`)),
  matched: 30,
  heardAtMs: 0,
};
const attention = (text: string) =>
  ({
    code: 'failing',
    severity: 'warning',
    count: 1,
    text,
    link: 'failures',
    submissions: [],
    metadata: {},
    example: null,
  }) as const;
const texts = (state: TopState, columns: number | null, rows: number | null, nowMs = 0) =>
  linesOf(state, { columns, rows }, nowMs).map(({ text }) => text);

test('the screen has the figures, what needs attention, the submissions that fit and the keys', () => {
  const lines = texts({ ...STATE, overview: { ...OVERVIEW, attention: [attention('much fails')] } }, 120, 12);
  assert.deepEqual(lines.slice(0, 6), [
    'opsqueue localhost:3999  running  12:34:56 UTC',
    '812 chunks/s (790 over a minute), 567 in flight, 1,234,000 waiting, 3 failed',
    '2 submissions open, 1,234,567 chunks left, 12,345,670 operations',
    '8 of 10 consumers at work',
    ' ! much fails',
    '',
  ]);
  assert.match(lines[6]!, /^ID +STATE +DONE +LEFT +RATE/);
  assert.match(lines[7]!, /^1000 +running +25% +1 min +1\.5\/s .*batch 0 customer=42$/);
  assert.match(lines[10]!, /^1003 /);
  assert.match(lines[11]!, /^row 1 of 30, by rate {2}\? help {2}q quit .* p pause$/);
  assert.equal(lines.length, 12);
});

test('a node that does not answer is named below the title', () => {
  const overview = { ...OVERVIEW, nodes_missing: ['10.0.0.2:3999'], shards_missing: 1 };
  const [, ...lines] = texts({ ...STATE, overview }, 120, 12);
  assert.deepEqual(lines.slice(0, 2), [
    '!! node 10.0.0.2:3999 does not answer: this is without its queues',
    '!! 1 of 64 shards is open on no node: this is without their queues',
  ]);
});

test('no line is wider than the terminal or steers it, and there are no more lines than it has', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\x1b[2J', 'a\tb\nc\r', '\u202eevil', '日本語'.repeat(90), '👩‍👩‍👧'.repeat(40)),
  );
  fc.assert(
    fc.property(
      hostile,
      hostile,
      fc.option(hostile),
      fc.integer({ min: 0, max: 200 }),
      fc.integer({ min: 0, max: 60 }),
      fc.nat(4),
      (prefix, text, problem, columns, rows, selected) => {
        const items = STATE.items.slice(0, 5).map((each) => ({ ...each, prefix, metadata: { [text]: '1' } }));
        const overview = { ...OVERVIEW, attention: Array(9).fill(attention(text)) };
        const lines = texts({ ...STATE, items, overview, problem, selected }, columns, rows);
        assert.ok(lines.length <= rows);
        for (const line of lines) {
          assert.ok(widthOf(line) <= columns, line);
          assert.doesNotMatch(line, /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('the selected row is on the screen, and keys stay within the rows', () => {
  const shown = (state: TopState) =>
    linesOf(state, { columns: 100, rows: 14 }, 0).filter(({ style }) => style === 'selected');
  for (let selected = 0; selected < 30; selected++)
    assert.match(shown({ ...STATE, selected })[0]!.text, new RegExp(`^${1_000 + selected} `));
  const after = (keys: string) => keysOf(keys).reduce(pressed, STATE);
  assert.equal(after('jj\x1b[Bk').selected, 2);
  assert.equal(after('kG\x1b[6~').selected, 29);
  assert.equal(after('\x1b[A\x1b[5~').selected, 0);
  assert.deepEqual([after('p').isFrozen, after('pp').isFrozen, after('s').sort], [true, false, 'tries']);
});

test('a queue that does not answer is said, with since when', () => {
  const lost = { ...STATE, problem: 'no answer from the queue' };
  assert.equal(
    texts(lost, 100, 20, 8_000)[1],
    '!! last heard 8.0 s ago, trying again: no answer from the queue',
  );
  const never = texts({ ...lost, overview: null, items: [], heardAtMs: null }, 100, 20);
  assert.deepEqual(never.slice(0, 2), [
    'opsqueue localhost:3999',
    '!! not heard yet, trying again: no answer from the queue',
  ]);
});

test('a filter is typed, corrected, applied and dropped; keys are text meanwhile', () => {
  const after = (keys: string, state = STATE) => keysOf(keys).reduce(pressed, state);
  const typed = after('/qpj\x7f\x7f\x7fnight');
  assert.deepEqual([typed.typed, typed.isFrozen, typed.selected], ['night', false, 0]);
  assert.match(texts(typed, 100, 20).at(-1)!, /^filter: night_ {2}a state, key=number/);
  const applied = after('ly failing customer=42 \r', typed);
  assert.deepEqual([applied.filter, applied.typed], ['nightly failing customer=42', null]);
  assert.match(texts(applied, 100, 20)[0]!, /filter: nightly failing customer=42$/);
  assert.equal(after('/\x15x\x1b', applied).filter, applied.filter);
  assert.equal(after('\x1b', applied).filter, '');
  assert.equal(after(`/${'x'.repeat(500)}`).typed?.length, 200);
  assert.deepEqual(filterQuery(applied.filter, 'rate'), {
    state: 'failing',
    sort: 'rate',
    order: 'desc',
    meta: ['customer:42'],
    prefix_starts: 'nightly',
  });
  assert.deepEqual(filterQuery('cancelled', 'rate'), {
    state: 'cancelled',
    sort: 'inserted',
    order: 'desc',
    meta: [],
  });
});

test('a change of the submission of the row, or of the one that is open, is asked for and done with y only', () => {
  const after = (keys: string, state = STATE) => keysOf(keys).reduce(pressed, state);
  for (const [key, verb] of [
    ['P', 'pause'],
    ['R', 'resume'],
    ['C', 'cancel'],
    ['T', 'retry'],
  ] as const) {
    const asked = after(`j${key}`);
    assert.deepEqual([asked.asked, asked.confirmed], [{ verb, id: '1001' }, null]);
    assert.equal(texts(asked, 100, 20).at(-1), `${verb} submission 1001? y yes, any other key no`);
    assert.deepEqual(after('y', asked).confirmed, { verb, id: '1001' });
    for (const no of ['n', '\r', 'q', '\x1b', 'Y']) {
      const { asked: still, confirmed } = after(no, asked);
      assert.deepEqual([still, confirmed], [null, null]);
    }
  }
  assert.deepEqual(after('jj\rjjC').asked, { verb: 'cancel', id: '1002' });
  assert.equal(after('C', { ...STATE, items: [] }).asked, null);
});

test('one submission is shown with why it does not go on and what failed, in any size, and Esc goes back', () => {
  const text = 'a\x1b[2J\nb';
  const opened = {
    submission: {
      ...FRAME,
      ...item('1000', 'batch'),
      failure_mode: 'collect',
      durations_ms: { p50: 900, p90: 2_000, max: 61_000, count: 30 },
      first_not_done: 1,
      queue_pauses: [],
      timeline: [{ kind: 'inserted', at: FRAME.as_of, by: null, text: '4 chunks' }],
      acted_by: [],
      failures_since: null,
      failures: [],
      end: { chunk: 3, text, by: null },
    },
    why: {
      ...FRAME,
      submission: '1000',
      queue: '-',
      backlog: 3,
      ok: false,
      verdict: 'no_consumers',
      text,
      advice: 'start some',
      command: 'opsqueue consumers',
      checks: [],
    },
  } as const;
  const state = { ...keysOf('\r').reduce(pressed, STATE), opened };
  assert.equal(state.openedId, '1000');
  const lines = texts(state, 120, 20);
  assert.deepEqual(lines.slice(6, 13), [
    'submission 1000, queue -: running  batch customer=42',
    '1 of 4 chunks done (25%), 1 in flight, 2 waiting',
    '1.5 chunks/s, 1 min to 1 min 30 s left, a chunk takes 900 ms, nine of ten 2.0 s, at most 1 min 01 s',
    'chunk 3 ended it: a\\x1b[2J b',
    '',
    'no consumers: a\\x1b[2J b',
    'what to do: start some (opsqueue consumers)',
  ]);
  assert.match(lines.at(-1)!, /^Esc back {2}P pause/);
  for (const [columns, rows] of [
    [1, 1],
    [20, 5],
    [40, 8],
  ] as const) {
    const small = texts(state, columns, rows);
    assert.ok(small.length <= rows && small.every((line) => widthOf(line) <= columns));
  }
  assert.equal(pressed(state, '\x1b').openedId, null);
  assert.match(texts(pressed(STATE, '?'), 120, 20).join('\n'), /\n\/ +filter: /);
  assert.equal(pressed(pressed(STATE, '?'), '\x1b').hasHelp, false);
});
