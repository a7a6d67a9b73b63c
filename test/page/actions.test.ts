import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page, Route } from 'playwright-core';
import { submissionId } from '../support/page/answers.ts';
import { answerFrom } from '../support/page/api-fixture.ts';
import { pageSuite, there } from '../support/page/suite.ts';
import { eventually } from '../support/time/eventually.ts';

pageSuite('actions on the page', {}, (scene) => {
  /** The submissions of a customer; from here on time passes only when it is told to. */
  async function customerAtStandstill(page: Page) {
    const { actions } = await answerFrom(page, { rows: 3 });
    await page.clock.install();
    await page.goto(`${scene.origin}/#/submissions?meta=customer:42`);
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    const menu = page.getByText('All 1\u2009337 that match');
    await menu.waitFor();
    await page.clock.pauseAt(Date.now() + 3_600_000);
    const press = async (name: string) => {
      await button(name).dispatchEvent('click');
      await page.clock.runFor(100);
    };
    const choose = async (verb: string) => {
      await menu.dispatchEvent('click');
      await eventually(async () => {
        await page.clock.runFor(100);
        return (await button(`${verb} 1\u2009337`).count()) === 1;
      });
      await press(`${verb} 1\u2009337`);
      assert.equal(await page.locator('.menu[open]').count(), 0);
    };
    return { actions, button, press, choose };
  }

  test('a submission is found, selected and paused with keys alone, and the pause is taken back', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { actions } = await answerFrom(page);
    await page.goto(`${scene.origin}/`);
    await page.getByText('Needs attention').waitFor();
    await page.keyboard.type('gs');
    await page.locator('tr[data-row]').first().waitFor();
    // Keys are heard once it has been painted.
    await page.evaluate('new Promise((end) => requestAnimationFrame(() => setTimeout(end)))');
    await page.keyboard.type('jjx');
    await page.getByText('1 selected').waitFor();
    await page.getByRole('button', { name: 'Pause' }).focus();
    await page.keyboard.press('Enter');
    const go = page.getByRole('button', { name: 'Pause 1 submission' });
    await go.waitFor();
    await page.getByLabel('Your name').fill(' ann ');
    await page.getByLabel('Reason').focus();
    await page.keyboard.type('gs is typed, not gone to');
    await page.keyboard.press('Enter');
    await page.getByText('Paused 1 submission').waitFor();
    await page.getByRole('button', { name: 'Undo' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('Resumed 1 submission').waitFor();
    // Nothing is where Undo was: a double click would pause it again.
    assert.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0);
    const ids = [submissionId(1)];
    assert.deepEqual(actions, [
      { verb: 'pause', body: { ids, dry_run: true } },
      { verb: 'pause', body: { ids, by: 'ann', reason: 'gs is typed, not gone to', expected: 1 } },
      { verb: 'resume', body: { ids, by: 'ann', reason: 'undone', expected: 1 } },
    ]);
    // It is asked for once.
    await page.keyboard.type('jx');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByLabel('Reason').waitFor();
    assert.equal(await page.getByLabel('Your name').count(), 0);
    watched.assertQuiet();
  });

  test('who cancels many types their number, and has five seconds to think again', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { actions, button, press, choose } = await customerAtStandstill(page);
    const go = 'Cancel 1\u2009337 submissions';
    const cancel = async () => {
      await choose('Cancel');
      await button(go).waitFor();
      assert.equal(await button(go).isDisabled(), true);
      await page.getByLabel('Type the number').fill('1337');
      await press(go);
      await page.getByText('Cancelling 1\u2009337 submissions in 5 seconds').waitFor();
    };
    await cancel();
    await page.clock.runFor(4_700);
    await press('Undo');
    await page.clock.runFor(10_000);
    const done = () => actions.filter(({ body }) => body.dry_run !== true);
    assert.deepEqual(done(), []);
    await cancel();
    await page.clock.runFor(5_000);
    await page.getByText('Cancelled 1\u2009337 submissions').waitFor();
    assert.deepEqual(done(), [
      { verb: 'cancel', body: { filter: { metadata: { customer: '42' } }, expected: 1_337 } },
    ]);
    watched.assertQuiet();
  });

  test('a cancel that waits can be taken back whatever is done meanwhile, and what only some can be taken back of says so', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { actions, button, press, choose } = await customerAtStandstill(page);
    const act = async (verb: string) => {
      await choose(verb);
      await button(`${verb} 1\u2009337 submissions`).waitFor();
      await page.getByLabel('Type the number').fill('1337');
    };
    await act('Cancel');
    assert.equal(await page.getByText('take it back').or(page.getByText('takes it back')).count(), 0);
    await press('Cancel 1\u2009337 submissions');
    await page.getByText('in 5 seconds').waitFor();
    assert.equal(await button('Close').count(), 0);
    await act('Pause');
    await page.getByText('Afterwards Undo takes it back for the first 2 of them only').waitFor();
    await press('Pause 1\u2009337 submissions');
    await page.getByText('Paused 1\u2009337 submissions').waitFor();
    await button('Undo the first 2').waitFor();
    await press('Undo');
    await page.getByText('Nothing was cancelled').waitFor();
    await page.clock.runFor(10_000);
    assert.deepEqual(
      actions.filter(({ body }) => body.dry_run !== true).map(({ verb }) => verb),
      ['pause'],
    );
    watched.assertQuiet();
  });

  test('a cancellation that the computer slept through is not made when it wakes', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { actions, button, press, choose } = await customerAtStandstill(page);
    const go = 'Cancel 1\u2009337 submissions';
    await choose('Cancel');
    await button(go).waitFor();
    await page.getByLabel('Type the number').fill('1337');
    await press(go);
    await page.getByText('in 5 seconds').waitFor();
    await page.clock.fastForward('03:00:00');
    await page.getByText('Nothing was cancelled: this page slept meanwhile').waitFor();
    assert.equal(await page.locator('.notice').count(), 1);
    await press('Ask again');
    await button(go).waitFor();
    assert.deepEqual(
      actions.filter(({ body }) => body.dry_run !== true),
      [],
    );
    watched.assertQuiet();
  });

  test('an action is waited for as long as it may take, and the same one is tried again where nobody answered', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { button, press, choose } = await customerAtStandstill(page);
    const came: (readonly [string | null, string | null])[] = [];
    const answer = Promise.withResolvers<void>();
    const answers: ((route: Route) => Promise<void>)[] = [
      () => new Promise(() => {}),
      (route) => route.fulfill({ status: 504, contentType: 'text/html', body: '<h1>Gateway timeout</h1>' }),
      (route) => answer.promise.then(() => route.fallback()),
    ];
    await page.route('**/actions/pause', async (route) => {
      const request = route.request();
      const body = request.postData();
      if (body?.includes('dry_run')) return route.fallback();
      came.push([await request.headerValue('idempotency-key'), body]);
      return answers[came.length - 1]?.(route);
    });
    const asked = () => page.waitForRequest('**/actions/pause');
    await choose('Pause');
    await button('Pause 1\u2009337 submissions').waitFor();
    await page.getByLabel('Type the number').fill('1337');
    const unanswered = page.getByText('No answer: it may have been done');
    for (const waitMs of [100_000, 0]) {
      const sent = asked();
      await press(waitMs === 0 ? 'Try again' : 'Pause 1\u2009337 submissions');
      await sent;
      await page.clock.runFor(waitMs);
      await unanswered.waitFor();
    }
    const sent = asked();
    await press('Try again');
    await sent;
    await page.clock.runFor(90_000);
    await page.getByText('Pause: no answer yet').waitFor();
    answer.resolve();
    await page.getByText('Paused 1\u2009337 submissions').waitFor();
    assert.equal(await page.locator('.notice').count(), 1);
    const [[key, body] = assert.fail()] = came;
    assert.match(key ?? '', /^[\d-]{20,}$/);
    assert.deepEqual(came, [
      [key, body],
      [key, body],
      [key, body],
    ]);
  });

  test('metadata and deadline of a submission are changed, and changed back', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { actions } = await answerFrom(page);
    await page.goto(`${scene.origin}/#/submissions/${submissionId(1)}`);
    await page.getByRole('button', { name: 'Change', exact: true }).click();
    const go = page.getByRole('button', { name: /^Change/ }).last();
    assert.equal(await go.isDisabled(), true, 'nothing is different yet');
    await page.getByLabel('Value of customer').fill('43');
    await page.getByLabel('Value of priority').fill('');
    await page.getByLabel('Deadline').selectOption('none');
    await page.getByLabel('Not before').selectOption('at');
    await page.getByLabel('local time').fill('2030-01-02T03:04:05');
    await page.getByLabel('Reason').fill('customer waits');
    await page.getByRole('button', { name: 'Change 1 submission' }).click();
    await page.getByRole('button', { name: 'Undo' }).click();
    const done = () => actions.filter(({ body }) => body.dry_run !== true).map(({ body }) => body);
    await eventually(() => done().length === 2);
    const ids = [submissionId(1)];
    assert.deepEqual(done(), [
      {
        ids,
        strategic_metadata: { customer: '43', priority: null },
        deadline: null,
        start_after: '2030-01-02T02:04:05.000Z',
        reason: 'customer waits',
        expected: 1,
      },
      {
        ids,
        strategic_metadata: { customer: '41', priority: '1' },
        deadline: null,
        start_after: null,
        reason: 'undone',
        expected: 1,
      },
    ]);
    watched.assertQuiet();
  });

  test('what there is nothing to do for is off: of all that match the queue says so, of rows what they show', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const fixture = await answerFrom(page);
    const none = { status: 404, code: 'NOTHING_MATCHES', detail: 'nothing with failures matches' };
    await page.route('**/actions/resume', (route) => route.fulfill({ json: { done: 0 } }));
    await page.route('**/actions/retry', (route) => route.fulfill({ status: 404, json: none }));
    await page.goto(`${scene.origin}/#/submissions`);
    await page.getByText('All 1\u2009337 that match').click();
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    await button('Pause 1\u2009337').waitFor();
    for (const name of ['Resume 0', 'Retry failed 0']) {
      await button(name).waitFor();
      assert.equal(await button(name).isDisabled(), true, name);
    }
    assert.equal(await button('Resume 0').getAttribute('title'), 'Nothing is paused');
    assert.ok(fixture.actions.every(({ body }) => body.dry_run === true));
    assert.deepEqual(await watched.axe(null, '.menu[open]'), []);
    // Pointing elsewhere closes it.
    await page.getByRole('heading', { level: 1 }).click();
    await there(page.locator('.menu:not([open])'), 2);
    // The second and the third: one waits, one is paused, in neither has anything failed.
    const rows = page.locator('tr[data-row] input');
    await rows.nth(1).check();
    await button('Pause').waitFor();
    assert.equal(await button('Resume').or(button('Retry failed')).count(), 0);
    await rows.nth(2).check();
    await button('Resume').waitFor();
    const off = page.locator('.verb:disabled');
    await there(off, 1);
    assert.equal(await off.textContent(), 'Retry failed');
  });

  test('all that failed in one way is retried, with who it is of', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    const { actions } = await answerFrom(page, { submissions: 4 });
    await page.goto(`${scene.origin}/#/failures?meta=customer:42`);
    await page.getByText('all with customer 42').first().waitFor();
    await page.locator('.failures summary').first().click();
    await page.getByRole('button', { name: 'Retry failed submissions with it' }).first().click();
    await page.getByText('Submissions that have ended with failures count as well').waitFor();
    await page.getByRole('button', { name: 'Retry what failed in 4 submissions' }).click();
    await page.getByText('Retried 4 submissions').waitFor();
    const filter = { metadata: { customer: '42' }, failure: 'fp-0' };
    assert.deepEqual(actions.at(-1), { verb: 'retry', body: { filter, expected: 4 } });
    watched.assertQuiet();
  });
});
