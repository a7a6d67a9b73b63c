import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { answerFrom } from '../support/page/api-fixture.ts';
import { findBrowser, LOOKS, launchBrowser, WatchedPage } from '../support/page/browser.ts';
import { VIEWS, viewLoaded } from '../support/page/views.ts';
import { TestServer } from '../support/queues/test-server.ts';

const file = findBrowser();

/** What is wider than the place it has, and is not shortened on purpose. */
const CUT_OFF = `[...document.querySelectorAll('main td, main .figure, main .timeline li > *')]
  .filter((place) => place.scrollWidth > place.clientWidth + 1 && getComputedStyle(place).textOverflow !== 'ellipsis')
  .map((place) => place.className + ': ' + place.textContent)`;

suite('the page, in both themes and three widths', {
  skip: file === null ? 'there is no browser' : false,
}, () => {
  let browser: Browser;
  let server: TestServer;
  before(async () => {
    [browser, server] = await Promise.all([launchBrowser(file ?? ''), TestServer.start()]);
  });
  after(async () => {
    await browser.close();
    await server[Symbol.asyncDispose]();
  });

  for (const look of LOOKS) {
    test(`every view is accessible and fits, ${look.width} pixels wide, ${look.theme}`, async () => {
      const origin = `http://127.0.0.1:${server.port}`;
      await using watched = await WatchedPage.open(browser, origin, look);
      const { page } = watched;
      // One row of each kind: axe takes its time for each element.
      const fixture = await answerFrom(page, { rows: 6 });
      await page.goto(`${origin}/`);
      for (const [hash, words] of VIEWS) {
        await page.evaluate(`void (location.hash = ${JSON.stringify(`#/${hash}`)})`);
        await page.getByText(words).first().waitFor({ state: 'attached' });
        await viewLoaded(page);
        const beyond = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
        assert.ok(beyond <= 0, `${hash} is ${beyond} pixels wider than the window`);
        assert.deepEqual(await page.evaluate(CUT_OFF), [], `${hash}: cut off, or over one another`);
        assert.deepEqual(await watched.axe(look.theme === 'light' ? null : ['color-contrast']), [], hash);
      }
      assert.deepEqual(fixture.unknown, []);
      watched.assertQuiet();
    });
  }
});
