import assert from 'node:assert/strict';
import { test } from 'node:test';
import { screensOf, terminalSvg } from '../../scripts/terminal-svg.ts';

const outputs = [
  { atMs: 0, text: 'starting\r\n' },
  { atMs: 500, text: '\r[#---] 1 of 4 <files>\u001b[K' },
  { atMs: 1_000, text: '\r[##--] 2 of 4\u001b[K' },
  { atMs: 2_000, text: '\ndone\n' },
];

test('a recording has the screens that a terminal shows', () => {
  const screens = screensOf(outputs).map(({ atMs, lines }) => [atMs, ...lines]);
  assert.deepEqual(screens, [
    [0, 'starting', ''],
    [500, 'starting', '[#---] 1 of 4 <files>'],
    [1_000, 'starting', '[##--] 2 of 4'],
    [2_000, 'starting', '[##--] 2 of 4', 'done', ''],
  ]);
});

test('a picture of it hides what passes, and shows the last screen where nothing moves', () => {
  const svg = terminalSvg(screensOf(outputs), { title: 'a & b', prompt: '$ run', columns: 40 });
  const texts = [...svg.matchAll(/^<text [^>]*y="(\d+)"(?: class="(\w+)")?[^>]*>(.*)<\/text>$/gm)];
  assert.deepEqual(
    texts.slice(1).map(([, , shown, text]) => [shown, text?.replace(/<\/?tspan[^>]*>/g, '')]),
    [
      [undefined, '$ run'],
      ['last', 'starting'],
      ['passing', '[#---] 1 of 4 &lt;files&gt;'],
      ['last', '[##--] 2 of 4'],
      ['last', 'done'],
    ],
  );
  assert.match(svg, /<title>a &amp; b<\/title>/);
  assert.match(svg, /prefers-color-scheme:dark/);
  // Shown after 0.5 s of 2 s, with 0.8 s before the first and 5 s after the last.
  assert.match(svg, /@keyframes v1\{0%\{opacity:0\}16\.67%\{opacity:1\}23\.08%\{opacity:0\}\}/);
});
