// In a process of its own: it takes long by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerFrom } from '../support/page/api-fixture.ts';
import { type WatchedPage, WIDTHS } from '../support/page/browser.ts';
import { goTo, pageSuite } from '../support/page/suite.ts';
import { VIEWS, viewLoaded } from '../support/page/views.ts';

/** What is wider than the place it has, and is not shortened on purpose. */
const CUT_OFF = `[...document.querySelectorAll('main td, main .figure, main .timeline li > *')]
  .filter((place) => place.scrollWidth > place.clientWidth + 1 && getComputedStyle(place).textOverflow !== 'ellipsis')
  .map((place) => place.className + ': ' + place.textContent)`;

/** Asks once, and counts no seconds: what is looked at stays as it is. */
const STILL = `localStorage.setItem('opsqueue', JSON.stringify({ intervalMs: 0 }));
  globalThis.setInterval = () => 0;`;
/** Rules of axe that another theme may break, and those that another width may. */
const RULES_OF_COLOUR = ['color-contrast'];
const RULES_OF_PLACE = [...RULES_OF_COLOUR, 'target-size', 'scrollable-region-focusable'];

/** Views are looked at in that many pages at once: axe keeps one core busy, and waits for the browser to paint. */
const PAGES = 3;

pageSuite('the page, in both themes and three widths', { concurrency: PAGES }, (scene) => {
  for (let part = 0; part < PAGES; part++) {
    const views = VIEWS.filter((_, index) => index % PAGES === part);
    test(`views are accessible and fit: ${views.map(([hash]) => `#/${hash}`).join(' ')}`, async () => {
      await using watched = await scene.open();
      const { page } = watched;
      // One row of each kind: axe takes its time for each element.
      const fixture = await answerFrom(page, { rows: 6 });
      await page.addInitScript(STILL);
      await page.goto(`${scene.origin}/`);
      for (const [index, [hash, words]] of views.entries()) {
        await goTo(page, hash);
        await page.getByText(words).first().waitFor({ state: 'attached' });
        await viewLoaded(page);
        // What is around the view is the same for all of them.
        await looksWell(watched, hash, index === 0);
      }
      assert.deepEqual(fixture.unknown, []);
      watched.assertQuiet();
    });
  }
});

/** In all widths and both themes. */
async function looksWell(watched: WatchedPage, hash: string, isWithFrame: boolean): Promise<void> {
  const { page } = watched;
  for (const width of WIDTHS) {
    await watched.show({ width, theme: 'light' });
    const where = `#/${hash}, ${width} pixels wide`;
    const beyond = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
    assert.ok(beyond <= 0, `${where}: ${beyond} pixels wider than the window`);
    assert.deepEqual(await page.evaluate(CUT_OFF), [], `${where}: cut off, or over one another`);
    // In between there is what there is at one end or the other, in other places.
    const isEnd = width === WIDTHS[0] || width === WIDTHS.at(-1);
    const of = isWithFrame || width === WIDTHS.at(-1) ? null : 'main';
    assert.deepEqual(await watched.axe(isEnd ? null : RULES_OF_PLACE, of), [], where);
    if (!isEnd) continue;
    await watched.show({ width, theme: 'dark' });
    assert.deepEqual(await watched.axe(RULES_OF_COLOUR, of), [], `${where}, dark`);
  }
}
