import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { IncorrectUsageError } from '../../../src/model/errors.ts';
import { NumberedCalls, programFile, spawn, Thread } from '../../../src/system/process/worker.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { eventually } from '../../support/time/eventually.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

const SAYS = (what: string) => `require('node:worker_threads').parentPort.postMessage('${what}')`;
const program = { starter: 'consumer/starter', inlined: SAYS('text') };

test('a thread is started from its file where that is, from its text in a bundle', async () => {
  await using folder = await temporaryFolder();
  const place = join(folder.path, 'a place ü', 'consumer');
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'entry.js'), SAYS('file'));
  const base = (name: string) => pathToFileURL(join(place, name)).href;
  for (const [where, from] of [
    [base('starter.js'), 'file'],
    // A file of somebody else's beside the bundle.
    [base('bundle.js'), 'text'],
    [base('starter.ts'), 'text'],
    ['https://example.com/consumer/starter.js?v=1', 'text'],
    // import.meta.url of a bundle of CommonJS.
    [undefined, 'text'],
  ] as const) {
    const worker = spawn({ ...program, base: where }, {});
    assert.deepEqual(await once(worker, 'message'), [from], String(where));
  }
});

test('where there is neither file nor text, that is said', () => {
  const bundled = { ...program, base: 'file:///app/bundle.js', inlined: null };
  assert.equal(programFile(bundled), null);
  assert.throws(
    () => spawn(bundled, {}),
    (error) =>
      error instanceof IncorrectUsageError &&
      /cannot find the program of the thread that consumer\/starter starts/.test(error.message),
  );
});

/** A thread from a text, with what it says and how it ends. */
function started(text: string) {
  const said: unknown[] = [];
  const ends: [string | null, number][] = [];
  const thread = new Thread<string, unknown>(
    { base: undefined, starter: 'x', inlined: text },
    {},
    {
      message: (message) => said.push(message),
      exited: (error, status) => ends.push([error?.message ?? null, status]),
    },
  );
  return { thread, said, ends };
}

test('a thread reports how it ended, once, and nothing is posted to it any more', async () => {
  const port = "const { parentPort } = require('node:worker_threads');";
  const echo = started(
    `${port} parentPort.on('message', (m) => { parentPort.postMessage(m); parentPort.close(); })`,
  );
  echo.thread.post('a');
  await echo.thread.exited;
  assert.deepEqual([echo.said, echo.ends], [['a'], [[null, 0]]]);
  echo.thread.post('b');
  const broken = started("throw new Error('broken')");
  await broken.thread.exited;
  assert.deepEqual(broken.ends, [['broken', 1]]);
});

test('a thread that does not end when asked is terminated after its grace', async () => {
  const { thread, said, ends } = started(
    "require('node:worker_threads').parentPort.postMessage('up'); for (;;);",
  );
  await eventually(() => said.length === 1);
  const clock = new ManualClock();
  const ending = thread.end(clock, 1_000, 1_000);
  clock.advance(999);
  assert.deepEqual(ends, []);
  clock.advance(1);
  assert.equal(await ending, true);
  assert.deepEqual(ends, [[null, 1]]);
});

test('calls are answered under their numbers, in any order, or fail together', async () => {
  const calls = new NumberedCalls<string>();
  const [first, second, third] = [calls.open(), calls.open(), calls.open()];
  assert.deepEqual([first.number, second.number, third.number], [0, 1, 2]);
  calls.answered(1, 'b');
  calls.failed(0, new Error('no'));
  calls.answered(7, 'of a call that was never made');
  assert.equal(await second.answer, 'b');
  await assert.rejects(first.answer, /no/);
  assert.equal(calls.size, 1);
  calls.failAll(new Error('all'));
  await assert.rejects(third.answer, /all/);
  assert.equal(calls.size, 0);
});
