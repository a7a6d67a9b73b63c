import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { TestServer } from '../../support/queues/test-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'opsqueue-pool-flags-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function moduleOf(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return pathToFileURL(join(folder, name)).href;
}

test('the threads of a pool get the flags of the program', { timeout: 60_000 }, async () => {
  await using queue = await TestServer.start();
  const early = moduleOf('early.mjs', 'globalThis.isLoadedEarly = true;');
  const callback = moduleOf(
    'callback.mjs',
    "import { getDefaultResultOrder } from 'node:dns'; export default () => [globalThis.isLoadedEarly, getDefaultResultOrder()];",
  );
  const program = fileURLToPath(new URL('../../support/programs/pool-flags.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--import', early, '--dns-result-order=ipv6first'],
    ...[program, `127.0.0.1:${queue.port}`, pathToFileURL(join(folder, 'chunks')).href, callback],
  ]);
  assert.deepEqual(JSON.parse(stdout), [[true, 'ipv6first']]);
});
