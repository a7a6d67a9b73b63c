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

/** What the callback's module answers in a program that loads the other one first. */
async function poolResults(queue: TestServer, early: string, callback: string, ...flags: readonly string[]) {
  const program = fileURLToPath(new URL('../../support/programs/pool-flags.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--import', early, ...flags],
    ...[program, `127.0.0.1:${queue.port}`, pathToFileURL(join(folder, 'chunks')).href, callback],
  ]);
  const results: unknown = JSON.parse(stdout);
  return results;
}

test('the threads of a pool get the flags of the program', { timeout: 60_000 }, async () => {
  await using queue = await TestServer.start();
  const early = moduleOf('early.mjs', 'globalThis.isLoadedEarly = true;');
  const callback = moduleOf(
    'callback.mjs',
    "import { getDefaultResultOrder } from 'node:dns'; export default () => [globalThis.isLoadedEarly, getDefaultResultOrder()];",
  );
  const flag = '--dns-result-order=ipv6first';
  assert.deepEqual(await poolResults(queue, early, callback, flag), [[true, 'ipv6first']]);
});

test('the threads of a pool get what the program has set for its connections', {
  timeout: 60_000,
}, async () => {
  await using queue = await TestServer.start();
  const early = moduleOf(
    'network.mjs',
    `import dns from 'node:dns';
     import tls from 'node:tls';
     import { isMainThread } from 'node:worker_threads';
     if (isMainThread) {
       dns.setDefaultResultOrder('ipv6first');
       tls.setDefaultCACertificates(tls.rootCertificates.slice(0, 2));
     }`,
  );
  // Read as the module loads: it may make connections then.
  const callback = moduleOf(
    'network-callback.mjs',
    `import dns from 'node:dns';
     import tls from 'node:tls';
     const found = [dns.getDefaultResultOrder(), tls.getCACertificates('default').length];
     export default () => found;`,
  );
  assert.deepEqual(await poolResults(queue, early, callback), [['ipv6first', 2]]);
});
