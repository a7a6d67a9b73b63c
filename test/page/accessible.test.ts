import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerFrom } from '../support/page/api-fixture.ts';
import { WIDTHS } from '../support/page/browser.ts';
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

pageSuite('the page, in both themes and three widths', (scene) => {
  // One page for all: to load axe and the page anew for each would take longer than to look.
  test('every view is accessible and fits', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    // One row of each kind: axe takes its time for each element.
    const fixture = await answerFrom(page, { rows: 6 });
    await page.addInitScript(STILL);
    await page.goto(`${scene.origin}/`);
    for (const [hash, words] of VIEWS) {
      await goTo(page, hash);
      await page.getByText(words).first().waitFor({ state: 'attached' });
      await viewLoaded(page);
      for (const width of WIDTHS) {
        await watched.show({ width, theme: 'light' });
        const where = `${hash}, ${width} pixels wide`;
        const beyond = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
        assert.ok(beyond <= 0, `${where}: ${beyond} pixels wider than the window`);
        assert.deepEqual(await page.evaluate(CUT_OFF), [], `${where}: cut off, or over one another`);
        // In between there is what there is at one end or the other, in other places.
        const isEnd = width === WIDTHS[0] || width === WIDTHS.at(-1);
        // What is around the view is the same for all of them.
        const of = hash === '' || width === WIDTHS.at(-1) ? null : 'main';
        assert.deepEqual(await watched.axe(isEnd ? null : RULES_OF_PLACE, of), [], where);
        if (!isEnd) continue;
        await watched.show({ width, theme: 'dark' });
        assert.deepEqual(await watched.axe(RULES_OF_COLOUR, of), [], `${where}, dark`);
      }
    }
    assert.deepEqual(fixture.unknown, []);
    watched.assertQuiet();
  });
});
