import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../support/processes.ts';
import { realQueue } from '../support/queues/real-queue.ts';

test('producer and consumer do their work in another realm, as Jest runs them', async () => {
  await using queue = await realQueue();
  const program = join(ROOT, 'test/support/programs/other-realm.ts');
  const args = ['--experimental-vm-modules', '--no-warnings', program, queue.url, queue.objects.url];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  const [error, ...results] = JSON.parse(stdout) as string[];
  assert.match(error ?? '', /^OpError \{ message: 'one', stack: 'TypeError: one/);
  assert.deepEqual(results, [
    '1970-01-01T00:00:00.000Z',
    'Map(1) { 1 => 2 }',
    'Set(1) { 3 }',
    'Uint8Array(1) [ 4 ]',
    '{ a: [ 5 ] }',
    '{ at: 1970-01-01T00:00:00.001Z, bytes: Uint8Array(1) [ 98 ], map: Map(1) { 6 => 7 } }',
  ]);
});
