import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Action, ActionAnswer } from '../../page/actions/action.ts';
import { outcomeText } from '../../page/actions/outcome.ts';

const ANSWER: ActionAnswer = {
  dry_run: false,
  matched: 5,
  done: 5,
  unchanged: 0,
  still_paused: 0,
  paused_by: [],
  ids: [],
  skipped: [],
};
const OF_FIVE: Action = { verb: 'pause', target: { ids: ['1', '2', '3', '4', '5'] } };
const outcome = (of: Partial<ActionAnswer>, action: Partial<Action> = {}, expected = 0) =>
  outcomeText({ ...OF_FIVE, ...action }, { ...ANSWER, ...of }, expected);
const skipped = (...ids: readonly string[]) =>
  ids.map((id) => ({ id, code: 'SUBMISSION_ENDED', text: `submission ${id} has ended: cancelled` }));

suite('what came of an action', () => {
  test('where all of it was done, that is all', () => {
    assert.equal(outcome({}), 'Paused 5 submissions');
    assert.equal(outcome({ matched: 1, done: 1 }, { verb: 'cancel' }), 'Cancelled 1 submission');
    assert.equal(outcome({ dry_run: true }, { verb: 'set' }), 'Would change 5 submissions');
    assert.equal(
      outcome({ chunks: 1_200 }, { verb: 'retry' }),
      'Retried 5 submissions; 1\u2009200 chunks to be done again',
    );
  });

  test('what was not done is told, with why', () => {
    assert.equal(
      outcome({ done: 1, unchanged: 2, skipped: skipped('4', '5') }),
      'Paused 1 of 5 submissions; 2 were paused for cause manual already; 2 skipped: submission 4 has ended: cancelled, …',
    );
    assert.equal(
      outcome({ done: 0, unchanged: 1, matched: 1, dry_run: true }, { verb: 'resume' }),
      'Would resume 0 of 1 submission; 1 was not paused for cause manual',
    );
    // Those that have ended are not among what matched.
    assert.equal(
      outcome({ dry_run: true, done: 1, matched: 1, skipped: skipped('5') }),
      'Would pause 1 of 2 submissions; 1 skipped',
    );
  });

  test('a node that did not say what it did is named, and what was there counts', () => {
    assert.equal(
      outcome({ matched: 1, done: 1, nodes_missing: ['10.0.0.2:3999'] }, {}, 5),
      'Paused 1 of 5 submissions; node 10.0.0.2:3999 did not answer: what it did is not known',
    );
  });

  test('what stays paused after a resumption is told with its cause, and that nothing was paused by hand', () => {
    const pause = { by: 'ann', reason: null, since: '2030-01-01T00:00:00.000Z' };
    const paused_by = [
      { of: 'submission', submissions: 2, cause: 'budget', ...pause },
      { of: 'queue', queue: 'images', submissions: 1, cause: 'disk-full', ...pause },
    ] as const;
    assert.equal(
      outcome({ done: 3, unchanged: 2, still_paused: 2, paused_by }, { verb: 'resume' }),
      'Resumed 3 of 5 submissions; 2 were not paused for cause manual; ' +
        'still paused (2 of 5 submissions): budget; still paused with queue images (1 of 5 submissions): disk-full',
    );
    assert.equal(outcome({ paused_by }), 'Paused 5 submissions');
    const one = { matched: 1, done: 0, unchanged: 1 };
    const everyCause = { verb: 'resume', fields: { every_cause: true } } as const;
    assert.equal(outcome(one, everyCause), 'Resumed 0 of 1 submission; 1 was not paused');
  });

  test('a queue and the server are paused or not', () => {
    const one = { matched: 1, done: 1 };
    const none = { matched: 1, done: 0, unchanged: 1, dry_run: true };
    assert.equal(outcome(one, { target: { queue: 'images' } }), 'Paused queue images');
    assert.equal(
      outcome(none, { target: { queue: '-' } }),
      'The unnamed queue was paused for cause manual already',
    );
    assert.equal(
      outcome(none, { verb: 'resume', target: { server: true } }),
      'The server was not paused for cause manual',
    );
  });
});
