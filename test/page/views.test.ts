import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTENTION_VIEWS, type AttentionView, type Overview } from '../../src/protocol/api/overview.ts';
import { failureGroups, list, overview, PLAIN, submission, submissionId } from '../support/page/answers.ts';
import { answerFrom } from '../support/page/api-fixture.ts';
import { at, goTo, pageSuite, there } from '../support/page/suite.ts';
import { VIEWS, viewLoaded } from '../support/page/views.ts';

// The page in a real browser, with answers that are made up. test/page/real-queue.test.ts has a real queue.

pageSuite('the page', {}, (scene) => {
  test('with nothing in the queue each view says so', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page, { isEmpty: true });
    await page.goto(`${scene.origin}/`);
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
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page, { nodesMissing: ['10.0.0.2:3999'], shardsMissing: 2 });
    await page.goto(`${scene.origin}/#/consumers`);
    const line = page.getByText('Node 10.0.0.2:3999 does not answer');
    await line.waitFor();
    const shards = page.getByText('2 of 64 shards are open on no node');
    await shards.waitFor();
    // Before those from above; without any, the server behind it would answer in between.
    await answerFrom(page);
    await goTo(page, '');
    await line.waitFor({ state: 'detached' });
    await shards.waitFor({ state: 'detached' });
    watched.assertQuiet();
  });

  test('wherever what needs attention leads to, there is a view', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const headings: Readonly<Record<AttentionView, RegExp>> = {
      why: /^Why/,
      submissions: /^Submissions/,
      consumers: /^Consumers/,
      failures: /^Failures/,
      queue: /^Queue/,
    };
    const views = ATTENTION_VIEWS.map((view) => [view, headings[view]] as const);
    const id = submissionId(1);
    for (const [link, name] of [...views, [`submissions/${id}`, new RegExp(id)] as const]) {
      await page.goto(`${scene.origin}/#/${link}?queue=-`);
      await page.getByRole('heading', { level: 1, name }).waitFor();
    }
    watched.assertQuiet();
  });

  test('what needs attention because nothing goes on leads to why', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    for (const hash of ['why', 'why?queue=images']) {
      await page.goto(`${scene.origin}/#/${hash}`);
      await page.locator('.why[open] .checks li').first().waitFor();
      // Whatever is ticked is good news.
      await page.locator('.checks .ok', { hasText: 'Queue is not paused' }).waitFor();
    }
    watched.assertQuiet();
  });

  test('a state of submissions that have ended takes away what is refused with it, and an empty page says where to go on', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.route('**/api/v1/submissions?*state=failed*', (route) =>
      route.fulfill({
        json: { as_of: new Date().toISOString(), age_ms: 0, matched: null, next: '1', items: [] },
      }),
    );
    await page.goto(`${scene.origin}/#/submissions?sort=rate&order=asc&failure=0c1d9f6a3b27`);
    await page.getByRole('link', { name: 'failed', exact: true }).click();
    await page.getByText('None among those looked at so far').waitFor();
    await at(page, '#/submissions?failure=0c1d9f6a3b27&state=failed');
    watched.assertQuiet();
  });

  test('the overview tells until when all is done, or why that is not known', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const { counts, ...rest } = overview({ ...PLAIN, nowMs: Date.now() });
    let of: Partial<Overview> = {};
    await page.clock.install();
    await page.route('**/api/v1/overview', (route) => route.fulfill({ json: { ...rest, counts, ...of } }));
    await page.goto(`${scene.origin}/`);
    const figure = page.locator('.figure', { hasText: 'Time left' });
    for (const [given, text] of [
      [{ left_ms: 377_000 }, /6\u2009min.*without what is paused/],
      [{ left_ms: null }, /–.*nothing goes on/],
      [{ left_ms: null, state: 'store_stuck' }, /–.*store stuck/],
      [
        { left_ms: null, counts: { ...counts, chunks_paused: counts.chunks_backlog } },
        /–.*all that is left is paused/,
      ],
    ] as const) {
      of = given;
      await page.clock.runFor(1_100);
      await figure.filter({ hasText: text }).waitFor();
    }
    const longest = page.locator('table[aria-label="Submissions that take longest"] tr[data-row]');
    await there(longest, rest.longest_left.length);
    const [first = assert.fail()] = rest.longest_left;
    assert.match((await longest.first().textContent()) ?? '', new RegExp(`^${first.id}`));
    watched.assertQuiet();
  });

  test('a consumer that is far slower than the others is marked, by itself and in its group', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.goto(`${scene.origin}/#/consumers`);
    await page.locator('tr[data-row]').nth(49).waitFor();
    const slow = page.locator('main .straggler');
    await there(slow, 1);
    assert.equal(await page.locator('tr[data-row="c-17"] .straggler').textContent(), 'slow 10×');
    assert.equal(await slow.getAttribute('title'), '10× as long as others with its strategy');
    await goTo(page, 'consumers/c-17');
    await page.locator('h1 .straggler', { hasText: 'slow 10×' }).waitFor();
    await goTo(page, 'consumers?group=strategy');
    await page.locator('.col-slow .warn').waitFor();
    assert.deepEqual(await page.locator('td.col-slow').allTextContents(), ['1', '0', '0']);
    watched.assertQuiet();
  });

  test('failures that are alike are told by what the latest one says, not by what they have in common', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const answer = failureGroups({ ...PLAIN, nowMs: Date.now() });
    const gist = 'TypeError: the invoice 801 has no address (of 2)';
    const items = ['TypeError: the invoice # has no address (of #) (bill bill.ts)', gist].map(
      (title, index) => {
        const [group = assert.fail()] = answer.items;
        return { ...group, fingerprint: `fp-${index}`, title, example: { ...group.example, gist } };
      },
    );
    await page.route('**/api/v1/failures', (route) => route.fulfill({ json: { ...answer, items } }));
    await page.goto(`${scene.origin}/#/failures`);
    const titles = page.locator('.failure-title');
    await there(titles, 2);
    assert.deepEqual(await titles.allTextContents(), [`${gist} (bill bill.ts)`, gist]);
    watched.assertQuiet();
  });

  test('from failures a link leads to all their submissions, and from an empty list one to those in any state', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.route(/submissions\?(?!.*state=all)/, (route) =>
      route.fulfill({ json: list({ ...PLAIN, nowMs: Date.now() }, []) }),
    );
    await page.goto(`${scene.origin}/#/failures?meta=customer:42`);
    await page.locator('.failures summary').first().click();
    await page.getByRole('link', { name: 'The 4 submissions with it' }).first().click();
    await page.locator('tr[data-row]').first().waitFor();
    await at(page, '#/submissions?meta=customer:42&state=all&failure=fp-0');
    await goTo(page, 'submissions?failure=fp-0&sort=rate');
    await page.getByRole('link', { name: 'those in any state' }).click();
    await page.locator('tr[data-row]').first().waitFor();
    await at(page, '#/submissions?failure=fp-0&state=all');
    watched.assertQuiet();
  });

  test('a paused server is resumed as such, whichever queue is chosen, and queues are paused by themselves', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const pause = { cause: 'manual', by: 'ann', reason: null, since: new Date().toISOString() };
    const withPauses = (of: string, change: (body: Record<string, unknown>) => object) =>
      page.route(of, async (route) => {
        const body = { as_of: new Date().toISOString(), age_ms: 0, matched: null, next: null };
        await route.fulfill({ json: change(body) });
      });
    const numbers = {
      submissions_open: 1,
      chunks_waiting: 1,
      chunks_reserved: 0,
      chunks_paused: 0,
      consumers: 0,
    };
    await withPauses('**/api/v1/queues', (body) => ({
      ...body,
      items: ['images', 'bills'].map((name) => ({
        ...numbers,
        name,
        chunks_delayed: 0,
        pauses: [{ of: 'server', ...pause }],
      })),
    }));
    await page.route('**/api/v1/overview', (route) =>
      route.fulfill({ json: { ...overview({ ...PLAIN, nowMs: Date.now() }), pauses: [pause] } }),
    );
    await page.goto(`${scene.origin}/#/queue?queue=images`);
    await page.getByRole('button', { name: 'Resume everything' }).waitFor();
    const pausing = page.locator('tr[data-row] button', { hasText: 'Pause' });
    await there(pausing, 2);
    watched.assertQuiet();
    // Whether the server is paused nobody knows then; of its queues it is known.
    await page.route('**/api/v1/overview', (route) => route.fulfill({ status: 503, body: 'busy' }));
    await page.reload();
    await pausing.first().waitFor();
    await page.getByText('busy').first().waitFor();
    await there(pausing, 2);
    assert.equal(await page.getByRole('button', { name: 'everything' }).count(), 0);
  });

  test('what clients send is text, whatever is in it', async () => {
    await using watched = await scene.open();
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
    await page.goto(`${scene.origin}/`);
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

  test('what is refused for good is asked once, and what fails is asked again', async () => {
    await using watched = await scene.open();
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
      await page.goto(`${scene.origin}/#/${view}`);
      await page.getByText(`${view}: refused`).first().waitFor();
      const before = asked[view];
      // Which queues there are is asked every ten seconds.
      const latest = page.waitForResponse(view === 'consumers' ? '**/consumers*' : '**/queues');
      await page.clock.runFor(10_500);
      await latest;
      assert.equal(asked[view] > before, view === 'consumers', view);
    }
  });

  test('each plot is drawn in a task of its own', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    // It is called at the end of whatever added them.
    await page.addInitScript(`
      globalThis.drawn = [];
      new MutationObserver((records) => {
        const added = records.flatMap(({ addedNodes }) => [...addedNodes]);
        const plots = added.filter((node) => node.classList?.contains('uplot')).length;
        if (plots > 0) drawn.push(plots);
      }).observe(document, { childList: true, subtree: true });
    `);
    await page.goto(`${scene.origin}/`);
    await page.locator('.plot .uplot canvas').nth(3).waitFor();
    assert.deepEqual(await page.evaluate('drawn'), [1, 1, 1, 1]);
    watched.assertQuiet();
  });

  test('a long table is shown a few rows at a time, and then all of them', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.addInitScript(`
      globalThis.added = [];
      new MutationObserver((records) => {
        const nodes = records.flatMap(({ addedNodes }) => [...addedNodes]);
        const inside = nodes.flatMap((node) => [...(node.querySelectorAll?.('tbody tr') ?? [])]);
        added.push(nodes.filter((node) => node.matches?.('tbody tr')).length + inside.length);
      }).observe(document, { childList: true, subtree: true });
    `);
    await page.goto(`${scene.origin}/#/submissions`);
    await page.locator('table:not([aria-busy]) tbody tr').nth(49).waitFor();
    const added = await page.evaluate<number[]>('added');
    assert.ok(Math.max(...added) <= 12, `${added}`);
    watched.assertQuiet();
  });

  test('while the queue is silent, nothing is said of what is now', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page, { isEmpty: true });
    await page.goto(`${scene.origin}/`);
    await page.getByText('Nothing needs attention').waitFor();
    await page.route('**/api/v1/**', (route) => route.abort());
    await page.locator('.banner').waitFor();
    assert.equal(await page.getByText('Nothing needs attention').count(), 0);
    await there(page.locator('main.past'), 1);
  });

  test('of an event of many lines the first is shown, the others on demand', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.goto(`${scene.origin}/#/events`);
    const text = page.getByText('at resize (/app/resize.ts:41:18)').first();
    await text.waitFor({ state: 'attached' });
    assert.equal(await text.isVisible(), false);
    await page.locator('td summary').first().click();
    await text.waitFor();
    watched.assertQuiet();
  });

  test('filters are in the address, and each can be taken away', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.goto(`${scene.origin}/#/submissions`);
    await page.getByLabel('Add a filter').fill('customer:42');
    await page.keyboard.press('Enter');
    await page.locator('.chip').waitFor();
    await at(page, '#/submissions?meta=customer:42');
    await page.getByLabel('Add a filter').fill('thumbnails');
    await page.keyboard.press('Enter');
    const both = '#/submissions?meta=customer:42&prefix_starts=thumbnails';
    await there(page.locator('.chip'), 2);
    await at(page, both);
    const paused = page.getByRole('link', { name: 'paused', exact: true });
    await paused.click();
    await at(page, `${both}&state=paused`);
    // The links of the columns lead on from there once it is drawn.
    await paused.and(page.locator('[aria-current]')).waitFor();
    await page.getByRole('link', { name: /^Done/ }).click();
    await at(page, `${both}&state=paused&sort=done&order=desc`);
    await page.locator('.chip').first().click();
    await at(page, '#/submissions?prefix_starts=thumbnails&state=paused&sort=done&order=desc');
    await there(page.locator('.chip'), 1);
    await page.goBack();
    await there(page.locator('.chip'), 2);
    watched.assertQuiet();
  });

  test('a list holds still while somebody points at it', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    let submissions = 1_337;
    await page.clock.install();
    await answerFrom(page);
    await page.route('**/api/v1/submissions', async (route) => {
      const world = { ...PLAIN, nowMs: Date.now() };
      await route.fulfill({ json: list(world, [submission(world, 1)], submissions) });
    });
    await page.goto(`${scene.origin}/#/submissions`);
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

  test('whatever holds still while somebody points at it is said to on top of the page, also what came late', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const heard = page.locator('.heard');
    for (const [view, of] of [
      ['events', 'tr[data-row]'],
      [`submissions/${submissionId(0)}`, 'table[aria-label="Chunks"] tr[data-row]'],
      ['consumers/c-3', 'tr[data-row]'],
      ['submissions', 'tr[data-row]'],
    ] as const) {
      await page.goto(`${scene.origin}/#/${view}`);
      await heard.getByText('live', { exact: true }).waitFor();
      await page.locator(of).first().hover();
      await heard.getByText('held', { exact: true }).waitFor();
      assert.match((await heard.getAttribute('title')) ?? '', /^What you point at .* holds still\. /);
      await page.mouse.move(700, 20);
      await heard.getByText('live', { exact: true }).waitFor();
    }
    // What is held goes with its view.
    await page.locator('tr[data-row] input').first().check();
    await page.mouse.move(700, 20);
    await heard.getByText('held', { exact: true }).waitFor();
    await goTo(page, 'consumers');
    await heard.getByText('live', { exact: true }).waitFor();
    watched.assertQuiet();
  });

  test('what is of one queue never stands under another one', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const never = () => new Promise<void>(() => {});
    for (const [view, of] of [
      ['', '.figures, .attention, .why summary, .plots > *, tr[data-row]'],
      ['failures', '.failures'],
      ['submissions', 'tr[data-row]'],
      ['consumers', 'tr[data-row]'],
    ] as const) {
      await page.goto(`${scene.origin}/#/${view}`);
      await page.locator(of).first().waitFor();
      await page.route('**/api/v1/**queue=images**', never);
      const asked = page.waitForRequest('**/api/v1/**queue=images**');
      await goTo(page, `${view}?queue=images`);
      await asked;
      assert.equal(await page.locator(of).count(), 0, view);
      await page.unroute('**/api/v1/**queue=images**');
    }
    watched.assertQuiet();
  });

  test('figures whose request alone fails are said to be of before', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page, { isEmpty: true });
    await page.goto(`${scene.origin}/`);
    await page.getByText('Nothing needs attention').waitFor();
    await page.route('**/api/v1/overview', (route) =>
      route.fulfill({ status: 503, json: { status: 503, code: 'BUSY', detail: 'too much to do' } }),
    );
    await page.getByText(/^As of \d\d:\d\d:\d\d: too much to do$/).waitFor();
    assert.equal(await page.getByText('Nothing needs attention').count(), 0);
    await page.locator('.heard.old').waitFor();
    assert.equal(await page.locator('.banner').count(), 0);
  });

  test('an action ends the selection, and its outcome is shown whoever points at the list', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    let submissions = 1_337;
    await answerFrom(page);
    await page.route('**/api/v1/submissions', async (route) => {
      const world = { ...PLAIN, nowMs: Date.now() };
      await route.fulfill({ json: list(world, [submission(world, 1)], submissions) });
    });
    await page.goto(`${scene.origin}/#/submissions`);
    await page.locator('tr[data-row] input[type=checkbox]').check();
    await page.getByText('held still while rows are selected').waitFor();
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    const go = page.getByRole('button', { name: 'Pause 1 submission' });
    await go.waitFor();
    submissions = 1_400;
    await go.press('Enter');
    await page.locator('tr[data-row]').hover();
    await page.getByText('1 of 1\u2009400 shown').waitFor();
    await page.getByText('1 selected').waitFor({ state: 'detached' });
    watched.assertQuiet();
  });

  test('a slow request is not given up because a preference is changed', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await page.clock.install();
    await answerFrom(page);
    await page.goto(`${scene.origin}/#/submissions`);
    await page.locator('tr[data-row]').first().waitFor();
    let asked = 0;
    await page.route('**/api/v1/submissions', () => {
      asked++;
      return new Promise<void>(() => {});
    });
    const first = page.waitForRequest('**/api/v1/submissions');
    await page.clock.runFor(1_100);
    await first;
    await page.getByLabel('How often to ask').selectOption('2000');
    await page.clock.runFor(5_000);
    assert.equal(asked, 1);
    watched.assertQuiet();
  });

  test('nothing is asked while the page is stopped, and choices stay', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    await page.clock.install();
    await page.goto(`${scene.origin}/#/queue`);
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
