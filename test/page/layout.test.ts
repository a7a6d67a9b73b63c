import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { consumer, list, overview, PLAIN, queues, submission } from '../support/page/answers.ts';
import { answerFrom } from '../support/page/api-fixture.ts';
import { goTo, pageSuite, there } from '../support/page/suite.ts';

const LAPTOP = { width: 1_280, theme: 'light' } as const;
const LONGEST_ID = '9223372036854775807';
const PHONE = { width: 390, theme: 'light' } as const;

/** As wide as they are in a queue that works. */
async function answerAsUsual(page: Page): Promise<void> {
  const world = {
    ...PLAIN,
    nowMs: Date.now(),
    strategy: 'preferDistinct(customer, oldest)',
    client: 'opsqueue-js 0.1.0',
  };
  await answerFrom(page, world);
  await page.route(/\/api\/v1\/consumers$/, (route) =>
    route.fulfill({
      json: list(
        world,
        Array.from({ length: 12 }, (_, index) => ({
          ...consumer(world, index),
          conn_id: `0198f2a4-77b1-7c3e-${index + 10}ab-5d0e6f9a2b${index + 10}`,
          address: `192.168.104.${100 + index}:543${index + 10}`,
        })),
      ),
    }),
  );
  await page.route('**/api/v1/overview', (route) => {
    const oldest = { submission: LONGEST_ID, queue: '-', age_ms: 1_000 };
    return route.fulfill({ json: { ...overview(world), oldest_waiting: oldest } });
  });
  await page.route(/\/api\/v1\/submissions$/, (route) =>
    route.fulfill({
      json: list(
        world,
        Array.from({ length: 12 }, (_, index) => ({ ...submission(world, index), failing: index % 2 === 0 })),
      ),
    }),
  );
}

pageSuite('the room on the page', {}, (scene) => {
  test('at 1280 pixels no column of a list is cut off, nor a strategy in the middle of a word', async () => {
    await using watched = await scene.open(LAPTOP);
    const { page } = watched;
    await answerAsUsual(page);
    await page.goto(`${scene.origin}/`);
    for (const view of ['submissions', 'consumers']) {
      await goTo(page, view);
      await page
        .locator(`.col-${view === 'consumers' ? 'client' : 'metadata'}`)
        .first()
        .waitFor();
      const [frame] = await page.locator('.table-frame').all();
      const hidden = await frame?.evaluate(
        (each: { readonly scrollWidth: number; readonly clientWidth: number }) =>
          each.scrollWidth - each.clientWidth,
      );
      assert.equal(hidden, 0, view);
    }
    const heights = await page
      .locator('td.col-strategy bdi')
      .evaluateAll((parts: readonly { readonly offsetHeight: number }[]) =>
        parts.map(({ offsetHeight }) => offsetHeight),
      );
    assert.ok(heights.length > 0 && Math.max(...heights) < 20, `a part is on two lines: ${heights}`);
    watched.assertQuiet();
  });

  test('on a phone every view has a tab on the screen, and an id stays on one line', async () => {
    await using watched = await scene.open(PHONE);
    const { page } = watched;
    await answerAsUsual(page);
    await page.goto(`${scene.origin}/`);
    const note = page.getByText(LONGEST_ID);
    await note.waitFor();
    assert.ok(((await note.boundingBox())?.height ?? 99) < 25);
    const tabs = await page.locator('.views a').all();
    assert.equal(tabs.length, 6);
    for (const tab of tabs) {
      const { x, width } = (await tab.boundingBox()) ?? assert.fail();
      assert.ok(x >= 0 && x + width <= PHONE.width, (await tab.textContent()) ?? '');
    }
    watched.assertQuiet();
  });

  test('the overview says first whether work goes on, then what needs attention, then numbers', async () => {
    await using watched = await scene.open(LAPTOP);
    const { page } = watched;
    await answerFrom(page);
    await page.goto(`${scene.origin}/`);
    const tops: number[] = [];
    // Who did something is told on one line.
    const by = page.locator('td.col-by', { hasText: 'ann@ops-1' }).first();
    assert.ok(((await by.boundingBox())?.height ?? 99) < 45);
    for (const part of ['.why .verdict', '.attention', '.figures', '.plots', 'table[aria-label="Events"]']) {
      tops.push((await page.locator(part).first().boundingBox())?.y ?? assert.fail(part));
    }
    assert.deepEqual(
      tops,
      tops.toSorted((a, b) => a - b),
    );
    watched.assertQuiet();
  });

  test('on a phone what is secondary is folded, ten rows stand for a table, and what was checked is there', async () => {
    await using watched = await scene.open(PHONE);
    const { page } = watched;
    await answerFrom(page);
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${scene.origin}/`);
    await page.getByText('What was checked').click();
    await page.locator('.checks li').first().waitFor();
    await page.locator('.figures').waitFor();
    assert.equal(await page.locator('.plot').count(), 0);
    assert.deepEqual(
      asked.filter((url) => /history|events/.test(url)),
      [],
    );
    await page.getByText('History', { exact: true }).click();
    await page.locator('.plot canvas').first().waitFor();
    await goTo(page, 'submissions');
    const rows = page.locator('tr[data-row]');
    const all = page.getByRole('button', { name: 'Show all 50' });
    await all.waitFor();
    await there(rows, 10);
    await all.click();
    await there(rows, 50);
    await goTo(page, 'failures?group=none');
    await there(page.locator('.failures summary'), 10);
    await all.click();
    await there(page.locator('.failures summary'), 50);
    watched.assertQuiet();
  });

  test('with one queue that has a name, its name stands where several would be to choose', async () => {
    await using watched = await scene.open(LAPTOP);
    const { page } = watched;
    await answerFrom(page);
    const world = { ...PLAIN, nowMs: Date.now() };
    const [unnamed] = queues({ ...world, isEmpty: true }).items;
    const [, images = assert.fail()] = queues(world).items;
    let items = [{ ...unnamed!, pauses: [] }, images];
    await page.clock.install();
    await page.route('**/api/v1/queues', (route) => route.fulfill({ json: list(world, items) }));
    await page.goto(`${scene.origin}/#/consumers`);
    await page.locator('b.queue-choice', { hasText: /^images$/ }).waitFor();
    items = [...items, { ...images, name: 'bills' }];
    await page.clock.runFor(11_000);
    const choices = page.getByLabel('Queue', { exact: true }).locator('option');
    await choices.nth(2).waitFor({ state: 'attached' });
    assert.deepEqual(await choices.allTextContents(), ['All queues', 'images', 'bills']);
    watched.assertQuiet();
  });

  test('with one queue there is none to choose, and views without a tab are of the overview', async () => {
    await using watched = await scene.open(LAPTOP);
    const { page } = watched;
    await answerFrom(page);
    await page.route('**/api/v1/queues', async (route) => {
      const world = { ...PLAIN, nowMs: Date.now() };
      const items = queues(world).items.filter(({ name }) => name === '-' || name === '');
      await route.fulfill({ json: list(world, items) });
    });
    const heard = page.waitForResponse('**/api/v1/queues');
    await page.goto(`${scene.origin}/#/why?queue=-`);
    await heard;
    await page.locator('.why[open]').waitFor();
    assert.equal(await page.locator('.queue-choice').count(), 0);
    assert.equal(await page.locator('.views [aria-current]').textContent(), 'Overview');
    watched.assertQuiet();
  });
});
