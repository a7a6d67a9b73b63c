import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { StoreError, startServer } from '../../../src/server/index.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { ConsumerPeer } from '../../support/peers/consumer-peer.ts';
import { runOpsqueue, startQueue } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** The mark that the third byte of the damaged page bears: every chunk of it is done. */
const MARKED = 0xff;
/** Of SQLite. */
const PAGE_BYTES = 4096;

/** A database in which the chunks 16 to 23 of a submission are done, as a queue that ended in good order left it. */
async function databaseWithProgress(filename: string): Promise<bigint> {
  const { queue, port } = await startQueue(['--database-filename', filename]);
  await using _queue = queue;
  using client = await RawQueue.connect(port);
  const insert = { chunk_contents: { SeeObjectStorage: { prefix: 'damaged', count: 5_000 } } };
  const id = BigInt((await client.post('/producer/submissions', JSON.stringify(insert))).body.toString());
  const peer = await ConsumerPeer.connect(port);
  for (const { chunk } of await peer.reserved(24)) if (chunk.chunkIndex >= 16) peer.complete(chunk);
  await client.get(`/producer/submissions/${id}/chunks_done?known=7&wait_ms=30000`);
  assert.equal((await client.done(id)).size, 8);
  peer.cut();
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
  return id;
}

/** Starts a queue that refuses: status 1, one line that says why, and not a byte of the file is changed. */
async function assertRefused(filename: string, why: RegExp): Promise<void> {
  const before = await readFile(filename);
  await using queue = runOpsqueue(['--port', '0', '--database-filename', filename], {
    env: { OPSQUEUE_LOG: 'silent' },
  });
  assert.deepEqual(await queue.exit(), { code: 1, signal: null });
  assert.equal(queue.output('stdout'), '');
  const said = queue.output('stderr');
  assert.match(said, /^opsqueue: cannot start: [^\n]+\n$/);
  assert.match(said, why);
  assert.ok((await readFile(filename)).equals(before), 'the file was changed');
}

test('a queue refuses a database of which one bit has flipped: one line that names the submission, status 1, the file untouched', async () => {
  await using folder = await temporaryFolder();
  const filename = `${folder.path}/q.db`;
  const id = await databaseWithProgress(filename);
  const whole = await readFile(filename);

  const page = Buffer.concat([Buffer.of(0, 0, MARKED), Buffer.alloc(40)]);
  const at = whole.indexOf(page);
  assert.ok(at > 0 && whole.indexOf(page, at + 1) < 0, 'the page is found, once');
  const flipped = Buffer.from(whole);
  flipped[at + 2] = MARKED ^ 0x10;
  await writeFile(filename, flipped);
  await assertRefused(filename, new RegExp(`damaged: submission ${id}, page 0 .* has a wrong checksum`));

  // As it was before, it is taken again.
  await writeFile(filename, whole);
  const { queue, port } = await startQueue(['--database-filename', filename]);
  await using _queue = queue;
  using client = await RawQueue.connect(port);
  assert.deepEqual([...(await client.done(id))], [16, 17, 18, 19, 20, 21, 22, 23]);
});

test('whichever page of the file is garbage: refused, untouched; or that page is not needed, and every answer is right', async (t) => {
  await using folder = await temporaryFolder();
  const filename = `${folder.path}/q.db`;
  const id = await databaseWithProgress(filename);
  const whole = await readFile(filename);
  const pages = whole.length / PAGE_BYTES;
  let refused = 0;
  for (let page = 0; page < pages; page++) {
    const broken = Buffer.from(whole).fill(0x5a, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    await writeFile(filename, broken);
    await using server = await startServer({
      port: 0,
      hosts: ['127.0.0.1'],
      databaseFilename: filename,
    }).catch((error: unknown) => {
      assert.ok(error instanceof StoreError, String(error));
      assert.match(error.message, /malformed|is not an SQLite database|damaged/);
      return null;
    });
    if (server === null) {
      assert.ok((await readFile(filename)).equals(broken), `page ${page + 1}: the file was changed`);
      refused++;
      continue;
    }
    using client = await RawQueue.connect(server.port);
    assert.deepEqual((await client.openIds()).map(String), [String(id)]);
    assert.equal((await client.done(id)).size, 8, `page ${page + 1}`);
    await server.stop();
  }
  t.diagnostic(`${refused} of ${pages} pages were refused`);
  assert.ok(refused >= 5, `only ${refused} of ${pages}`);
});
