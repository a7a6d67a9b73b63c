import assert from 'node:assert/strict';
import { test } from 'node:test';
import { submissionId } from '../support/page/answers.ts';
import { answerFrom } from '../support/page/api-fixture.ts';
import { goTo, pageSuite, there } from '../support/page/suite.ts';
import { eventually } from '../support/time/eventually.ts';

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
/** The colours of the legend's swatches, and those that the map is drawn with, as they are painted. */
const COLOURS = `(() => {
  const map = document.querySelector('.map canvas');
  // Read from a copy: the browser warns of a canvas that is read again and again.
  const copy = new OffscreenCanvas(map.width, map.height).getContext('2d', { willReadFrequently: true });
  const rgbOf = (data, i) => 'rgb(' + data[i] + ', ' + data[i + 1] + ', ' + data[i + 2] + ')';
  const swatches = [...document.querySelectorAll('.legend .swatch')].map((each) => {
    copy.fillStyle = getComputedStyle(each).backgroundColor;
    copy.fillRect(0, 0, 1, 1);
    return rgbOf(copy.getImageData(0, 0, 1, 1).data, 0);
  });
  copy.clearRect(0, 0, map.width, map.height);
  copy.drawImage(map, 0, 0);
  const { data } = copy.getImageData(0, 0, map.width, map.height);
  const drawn = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) drawn.add(rgbOf(data, i));
  return { swatches, drawn: [...drawn] };
})()`;

interface Painted {
  readonly swatches: readonly string[];
  readonly drawn: readonly string[];
}

pageSuite('the map of the page', {}, (scene) => {
  test('chunks of a paused submission are called and drawn as paused, not as waiting', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const restOf = async (index: number, words: string) => {
      await goTo(page, `submissions/${submissionId(index)}`);
      await page.locator('.map-words', { hasText: words }).waitFor();
      await page.locator('.map canvas').waitFor();
      let colour = '';
      await eventually(async () => {
        const { swatches, drawn } = await page.evaluate<Painted>(COLOURS);
        colour = swatches[0] ?? '';
        return drawn.includes(colour);
      });
      return { words: await page.locator('.map .legend-item').first().textContent(), colour };
    };
    await page.goto(`${scene.origin}/`);
    const running = await restOf(0, 'in flight');
    const paused = await restOf(2, '280 paused');
    assert.deepEqual([running.words, paused.words], ['waiting', 'paused']);
    assert.notEqual(paused.colour, running.colour);
    await there(page.locator('.progress.large .fill-paused'), 1);
    assert.match((await page.locator('.progress.large').getAttribute('title')) ?? '', /, 280 paused$/);
    await page.locator('.map canvas').focus();
    await page.keyboard.press('End');
    await page.getByText('Chunk 1\u2009993: paused').waitFor();
    watched.assertQuiet();
  });

  test('a hundred thousand submissions and ten million chunks are there at once', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page, { chunks: 10_000_000, submissions: 100_000 });
    await page.goto(`${scene.origin}/#/submissions/${submissionId(0)}`);
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
    await there(page.locator('.map-table tbody tr'), 20);
    await goTo(page, 'submissions');
    await page.getByText('50 of 100\u2009000 shown').waitFor();
    watched.assertQuiet();
  });

  test('the map tells durations, and is zoomed by wheel and by two fingers', async () => {
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page, { chunks: 10_000_000 });
    await page.goto(`${scene.origin}/#/submissions/${submissionId(0)}`);
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
    await using watched = await scene.open();
    const { page } = watched;
    await answerFrom(page);
    const colours = async () => {
      const { swatches, drawn } = await page.evaluate<Painted>(COLOURS);
      // The pattern of what is in flight covers its swatch.
      const [waiting, done, , delayed] = swatches;
      const plain = [waiting!, done!, delayed!];
      assert.equal(new Set(plain).size, 3, `${plain}`);
      for (const each of plain) assert.ok(drawn.includes(each), `${each} is not in the map`);
      return plain;
    };
    await page.goto(`${scene.origin}/#/submissions/${submissionId(0)}`);
    await page.locator('.map canvas').waitFor();
    await page.evaluate(PAINTED);
    const own = await colours();
    await page.emulateMedia({ forcedColors: 'active' });
    await page.evaluate(PAINTED);
    assert.notDeepEqual(await colours(), own);
    watched.assertQuiet();
  });
});
