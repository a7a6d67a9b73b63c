import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { startThread, threadFile } from '../../src/system/thread-program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SAYS = (what: string) => `require('node:worker_threads').parentPort.postMessage('${what}')`;
const program = { starter: 'consumer/starter', file: './thread', inlined: SAYS('text') };

test('a thread is started from its file where that is, from its text in a bundle', async () => {
  await using folder = await temporaryFolder();
  const place = join(folder.path, 'a place ü', 'consumer');
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'thread.js'), SAYS('file'));
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
    const worker = startThread({ ...program, base: where }, {});
    assert.deepEqual(await once(worker, 'message'), [from], String(where));
  }
});

test('where there is neither file nor text, that is said', () => {
  const bundled = { ...program, base: 'file:///app/bundle.js', inlined: null };
  assert.equal(threadFile(bundled), null);
  assert.throws(
    () => startThread(bundled, {}),
    (error) => error instanceof IncorrectUsageError && /cannot find \.\/thread/.test(error.message),
  );
});
