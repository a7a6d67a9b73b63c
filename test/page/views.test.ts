import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { list, PLAIN, submission, submissionId } from '../support/page/answers.ts';
import { answerFrom } from '../support/page/api-fixture.ts';
import { findBrowser, type Look, launchBrowser, WatchedPage } from '../support/page/browser.ts';
import { VIEWS, viewLoaded } from '../support/page/views.ts';
import { TestServer } from '../support/queues/test-server.ts';

// The page in a real browser, with answers that are made up. test/page/real-queue.test.ts has a real queue.

const WIDE: Look = { width: 1440, theme: 'light' };
const file = findBrowser();

/** Two fingers on the map, 100 pixels apart, move until they are 200 apart. */
const PINCH = `{
  const map = document.querySelector('.map canvas');
  const { left, top } = map.getBoundingClientRect();
  for (const [kind, pointerId, x] of [
    ['down', 1, 300], ['down', 2, 400], ['move', 1, 270], ['move', 2, 470], ['up', 1, 270], ['up', 2, 470],
  ]) {
    const at = { clientX: left + x, clientY: top + 40 };
    map.dispatchEvent(new PointerEvent('pointer' + kind, { bubbles: true, pointerType: 'touch', pointerId, ...at }));
  }
}`;
/** What is drawn is drawn once a frame has been painted. */
const PAINTED =
  'new Promise((end) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(end))))';
/** The colours that the map is drawn with. */
const DRAWN = `(() => {
  const map = document.querySelector('.map canvas');
  // Read from a copy: the browser warns of a canvas that is read again and again.
  const copy = new OffscreenCanvas(map.width, map.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(map, 0, 0);
  const { data } = copy.getImageData(0, 0, map.width, map.height);
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] === 255) colours.add('rgb(' + data[i] + ', ' + data[i + 1] + ', ' + data[i + 2] + ')');
  return [...colours];
})()`;

suite('the page', { skip: file === null ? 'there is no browser' : false }, () => {
  let browser: Browser;
  let server: TestServer;
  let origin: string;

  before(async () => {
    [browser, server] = await Promise.all([launchBrowser(file ?? ''), TestServer.start()]);
    origin = `http://127.0.0.1:${server.port}`;
  });
  after(async () => {
    await browser.close();
    await server[Symbol.asyncDispose]();
  });

  const open = async (look: Look = WIDE) => WatchedPage.open(browser, origin, look);
  const goTo = (page: Page, hash: string) =>
    page.evaluate(`void (location.hash = ${JSON.stringify(`#/${hash}`)})`);

  test('with nothing in the queue each view says so', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page, { isEmpty: true });
    await page.goto(`${origin}/`);
    // No warning either.
    await page.locator('.why.idle').waitFor();
    for (const [hash, words] of [
      ['', 'Nothing needs attention'],
      ['submissions', 'No submission matches'],
      ['consumers', 'No consumer is connected'],
      ['values', 'No open submission carries metadata'],
      ['failures', 'No failure is remembered'],
    ] as const) {
      await goTo(page, hash);
      await page.getByText(words).waitFor();
    }
    watched.assertQuiet();
  });

  test('a node that does not answer is named on top of every view, until it does', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page, { nodesMissing: ['10.0.0.2:3999'] });
    await page.goto(`${origin}/#/consumers`);
    const line = page.getByText('Node 10.0.0.2:3999 does not answer');
    await line.waitFor();
    await page.unrouteAll();
    await answerFrom(page);
    await goTo(page, '');
    await line.waitFor({ state: 'detached' });
    watched.assertQuiet();
  });

  test('what clients send is text, whatever is in it', async () => {
    await using watched = await open();
    const { page } = watched;
    const evil = `"><img src=x onerror=alert(1)><script>alert(2)</script>'&lt;{{7*7}}\${7*7}javascript:alert(3)`;
    const hidden = '\u202Etxt.exe\u200B\u0007\u001b[31mred';
    await answerFrom(page, {
      prefix: evil,
      key: evil,
      strategy: evil,
      client: evil,
      failure: `${evil}\n${hidden}`,
      reason: evil + hidden,
      by: evil,
      queue: evil,
    });
    await page.goto(`${origin}/`);
    for (const [hash] of VIEWS) {
      await goTo(page, hash);
      await viewLoaded(page);
      assert.equal(await page.locator('img, script:not([src]), iframe, [onerror]').count(), 0, hash);
    }
    await goTo(page, 'failures');
    await page.locator('.failures summary').first().click();
    const text = await page.locator('pre.block').first().textContent();
    assert.ok(text?.startsWith(evil), `${text}`);
    assert.ok(text?.endsWith('⟨U+202E⟩txt.exe⟨U+200B⟩⟨U+0007⟩red'), `${text}`);
    watched.assertQuiet();
  });

  test('a hundred thousand submissions and ten million chunks are there at once', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page, { chunks: 10_000_000, submissions: 100_000 });
    await page.goto(`${origin}/#/submissions/${submissionId(0)}`);
    await page.getByText('One cell is 1\u2009024 chunks').waitFor();
    const canvas = page.locator('.map canvas');
    await canvas.focus();
    await page.keyboard.press('ArrowRight');
    await page.getByText(/^Chunks 0 to 1\u2009023: /).waitFor();
    for (const words of [
      'One cell is 128 chunks',
      'One cell is 16 chunks',
      'One cell is 2 chunks',
      'One cell is one chunk',
    ]) {
      await page.keyboard.press('+');
      await page.getByText(words).waitFor();
    }
    await page.getByText('As a table').click();
    assert.equal(await page.locator('.map-table tbody tr').count(), 20);
    await goTo(page, 'submissions');
    await page.getByText('50 of 100\u2009000 shown').waitFor();
    watched.assertQuiet();
  });

  test('the map tells durations, and is zoomed by wheel and by two fingers', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page, { chunks: 10_000_000 });
    await page.goto(`${origin}/#/submissions/${submissionId(0)}`);
    const cells = (count: string) => page.getByText(`One cell is ${count} chunks`).waitFor();
    await cells('1\u2009024');
    const canvas = page.locator('.map canvas');
    await canvas.hover();
    await page.keyboard.down('Control');
    await page.mouse.wheel(0, -100);
    await page.keyboard.up('Control');
    await page.mouse.move(0, 0);
    await cells('128');
    await page.evaluate(PINCH);
    await cells('16');
    await page.getByRole('link', { name: 'durations' }).click();
    await page.getByText('not known', { exact: true }).waitFor();
    await page.getByText('One cell is 16 chunks; durations are kept for neighbours together').waitFor();
    await canvas.focus();
    await page.keyboard.press('ArrowRight');
    await page.getByText(/^Chunks [\d\u2009]+ to [\d\u2009]+: .* on average, the longest /).waitFor();
    assert.match(await page.evaluate<string>('location.hash'), /\?map=duration$/);
    watched.assertQuiet();
  });

  test('with colours of the system the states of the map are still told apart', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page);
    const colours = async () => {
      const kinds = ['waiting', 'done', 'reserved', 'delayed'];
      const shown = await page.evaluate<string[]>(
        "[...document.querySelectorAll('.legend .swatch')].map((each) => getComputedStyle(each).backgroundColor)",
      );
      const drawn = await page.evaluate<string[]>(DRAWN);
      // The pattern of what is in flight covers its swatch.
      const plain = shown.filter(
        (_, i) => kinds[i] === 'waiting' || kinds[i] === 'done' || kinds[i] === 'delayed',
      );
      assert.equal(new Set(plain).size, 3, `${plain}`);
      for (const each of plain) assert.ok(drawn.includes(each), `${each} is not in the map`);
      return plain;
    };
    await page.goto(`${origin}/#/submissions/${submissionId(0)}`);
    await page.locator('.map canvas').waitFor();
    await page.evaluate(PAINTED);
    const own = await colours();
    await page.emulateMedia({ forcedColors: 'active' });
    await page.evaluate(PAINTED);
    assert.notDeepEqual(await colours(), own);
    watched.assertQuiet();
  });

  test('a submission is found, selected and paused with keys alone, and the pause is taken back', async () => {
    await using watched = await open();
    const { page } = watched;
    const { actions } = await answerFrom(page);
    await page.goto(`${origin}/`);
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
    await page.getByLabel('Reason').focus();
    await page.keyboard.type('gs is typed, not gone to');
    await page.keyboard.press('Enter');
    await page.getByText('Paused 1 submission').waitFor();
    await page.getByRole('button', { name: 'Undo' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('Resumed 1 submission').waitFor();
    const ids = [submissionId(1)];
    assert.deepEqual(actions, [
      { verb: 'pause', body: { ids, dry_run: true } },
      { verb: 'pause', body: { ids, reason: 'gs is typed, not gone to', expected: 1 } },
      { verb: 'resume', body: { ids, reason: 'undone', expected: 1 } },
    ]);
    watched.assertQuiet();
  });

  test('who cancels many types their number, and has five seconds to think again', async () => {
    await using watched = await open();
    const { page } = watched;
    const { actions } = await answerFrom(page);
    await page.clock.install();
    await page.goto(`${origin}/#/submissions?meta=customer:42`);
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    await button('Cancel').waitFor();
    // From here on time passes only when it is told to.
    await page.clock.pauseAt(Date.now() + 3_600_000);
    const press = async (name: string) => {
      await button(name).dispatchEvent('click');
      await page.clock.runFor(100);
    };
    const go = 'Cancel 1\u2009337 submissions';
    const cancel = async () => {
      await press('Cancel');
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

  test('metadata and deadline of a submission are changed, and changed back', async () => {
    await using watched = await open();
    const { page } = watched;
    const { actions } = await answerFrom(page);
    await page.goto(`${origin}/#/submissions/${submissionId(1)}`);
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
    while (done().length < 2) await page.waitForRequest('**/actions/set');
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

  test('all that failed in one way is retried, with who it is of', async () => {
    await using watched = await open();
    const { page } = watched;
    const { actions } = await answerFrom(page, { submissions: 4 });
    await page.goto(`${origin}/#/failures?meta=customer:42`);
    await page.getByText('all with customer 42').first().waitFor();
    await page.locator('.failures summary').first().click();
    await page.getByRole('button', { name: 'Retry failed submissions with it' }).first().click();
    await page.getByRole('button', { name: 'Retry what failed 4 submissions' }).click();
    await page.getByText('Retried 4 submissions').waitFor();
    const filter = { metadata: { customer: '42' }, failure: 'fp-0' };
    assert.deepEqual(actions.at(-1), { verb: 'retry', body: { filter, expected: 4 } });
    watched.assertQuiet();
  });

  test('what is refused for good is asked once, and what fails is asked again', async () => {
    await using watched = await open();
    const { page } = watched;
    await page.clock.install();
    await answerFrom(page);
    const asked = { submissions: 0, consumers: 0 };
    const refuse = (of: keyof typeof asked, status: number) =>
      page.route(`**/api/v1/${of}*`, (route) => {
        asked[of]++;
        const json = { status, code: 'PROTOCOL', detail: `${of}: refused` };
        return route.fulfill({ status, json });
      });
    await refuse('submissions', 400);
    await refuse('consumers', 404);
    for (const view of ['consumers', 'submissions'] as const) {
      await page.goto(`${origin}/#/${view}`);
      await page.getByText(`${view}: refused`).first().waitFor();
      const before = asked[view];
      // Which queues there are is asked every ten seconds.
      const latest = page.waitForRequest(view === 'consumers' ? '**/consumers*' : '**/queues');
      await page.clock.runFor(10_500);
      await latest;
      assert.equal(asked[view] > before, view === 'consumers', view);
    }
  });

  test('while the queue is silent, nothing is said of what is now', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page, { isEmpty: true });
    await page.goto(`${origin}/`);
    await page.getByText('Nothing needs attention').waitFor();
    await page.unrouteAll();
    await page.route('**/api/v1/**', (route) => route.abort());
    await page.locator('.banner').waitFor();
    assert.equal(await page.getByText('Nothing needs attention').count(), 0);
    assert.equal(await page.locator('main.past').count(), 1);
  });

  test('of an event of many lines the first is shown, the others on demand', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page);
    await page.goto(`${origin}/#/events`);
    const text = page.getByText('at resize (/app/resize.ts:41:18)').first();
    await text.waitFor({ state: 'attached' });
    assert.equal(await text.isVisible(), false);
    await page.locator('td summary').first().click();
    assert.equal(await text.isVisible(), true);
    watched.assertQuiet();
  });

  test('filters are in the address, and each can be taken away', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page);
    await page.goto(`${origin}/#/submissions`);
    const hash = () => page.evaluate('location.hash');
    await page.getByLabel('Add a filter').fill('customer:42');
    await page.keyboard.press('Enter');
    await page.locator('.chip').waitFor();
    assert.equal(await hash(), '#/submissions?meta=customer:42');
    await page.getByLabel('Add a filter').fill('thumbnails');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'paused', exact: true }).click();
    await page.getByRole('link', { name: /^Done/ }).click();
    assert.equal(
      await hash(),
      '#/submissions?meta=customer:42&prefix_starts=thumbnails&state=paused&sort=done&order=desc',
    );
    await page.locator('.chip').first().click();
    assert.equal(await hash(), '#/submissions?prefix_starts=thumbnails&state=paused&sort=done&order=desc');
    await page.goBack();
    assert.equal(await page.locator('.chip').count(), 2);
    watched.assertQuiet();
  });

  test('a list holds still while somebody points at it', async () => {
    await using watched = await open();
    const { page } = watched;
    let submissions = 1_337;
    await page.clock.install();
    await answerFrom(page);
    await page.route('**/api/v1/submissions', async (route) => {
      const world = { ...PLAIN, nowMs: Date.now() };
      await route.fulfill({ json: list(world, [submission(world, 1)], submissions) });
    });
    await page.goto(`${origin}/#/submissions`);
    const shown = (total: string) => page.getByText(`1 of ${total} shown`);
    await shown('1\u2009337').waitFor();
    await page.locator('tr[data-row]').hover();
    await page.getByText('held still').waitFor();
    submissions = 1_400;
    const heard = page.waitForResponse((response) => response.url().endsWith('/submissions'));
    await page.clock.runFor(1_100);
    await heard;
    assert.equal(await shown('1\u2009337').count(), 1);
    await page.mouse.move(700, 20);
    await shown('1\u2009400').waitFor();
    watched.assertQuiet();
  });

  test('nothing is asked while the page is stopped, and choices stay', async () => {
    await using watched = await open();
    const { page } = watched;
    await answerFrom(page);
    await page.clock.install();
    await page.goto(`${origin}/#/queue`);
    await page.getByText('Settings in force').waitFor();
    await page.keyboard.type('put');
    await page.getByText('stopped').waitFor();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.clock.runFor(30_000);
    assert.deepEqual(asked, []);
    await page.keyboard.press('p');
    await page.getByText('live').waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'UTC time' }).waitFor();
    assert.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark');
    watched.assertQuiet();
  });
});
