import assert from 'node:assert/strict';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ConsumerClient, NonRetryableError } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { uuidV7 } from '../../src/system/random.ts';
import { storeFolder } from '../support/objects/store-folder.ts';
import { type Exit, ROOT, runNode, runOpsqueue, startQueue } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const DAY_MS = 86_400_000;

interface Ran extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

async function opsqueue(...args: readonly string[]): Promise<Ran> {
  await using run = runOpsqueue(args, {
    env: { OPSQUEUE_URL: undefined, OPSQUEUE_OBJECT_STORE: undefined },
  });
  const exit = await run.exit();
  return { ...exit, stdout: run.output('stdout'), stderr: run.output('stderr') };
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(path.length + 1))
    .sort();
}

/** Sets the age of all files of a folder. */
async function age(path: string, ageMs: number): Promise<void> {
  const at = new Date(Date.now() - ageMs);
  for (const file of await filesBelow(path)) await utimes(`${path}/${file}`, at, at);
}

async function emptyQueue() {
  const { queue, port } = await startQueue(['--database-filename', 'file::memory:']);
  return { queue, url: `127.0.0.1:${port}` };
}

/** One submission in each state, of a queue whose consumer is gone again; their prefixes. */
async function submissionsInAllStates(url: string, objectStore: string): Promise<Map<string, string>> {
  await using producer = new ProducerClient(url, objectStore);
  const insert = (word: string) => producer.insertSubmission([word, word, word], { chunkSize: 1 });
  const ids = new Map([
    ['cancelled', await insert('to be cancelled')],
    ['failed', await insert('fails')],
    ['completed', await insert('done')],
  ]);
  await producer.submission(ids.get('cancelled') ?? '').cancel();
  await using consumer = new ConsumerClient(url, objectStore);
  const working = consumer.runEachOp((word: string) => {
    if (word === 'fails') throw new NonRetryableError('as it was told');
    return word.toUpperCase();
  });
  for (const [state, id] of ids) assert.equal((await producer.submission(id).done()).state, state);
  await consumer.stop();
  await working;
  ids.set('in_progress', await insert('waits'));
  return ids;
}

/** A producer that is killed in the middle of its upload. */
async function killedUpload(url: string, objectStore: string, folder: string): Promise<string> {
  const before = new Set(await readdir(folder));
  await using producer = runNode([`${ROOT}test/e2e/fixtures/endless-uploader.ts`, url, objectStore]);
  await producer.line(/^uploaded/);
  await producer.kill('SIGKILL');
  const added = (await readdir(folder)).filter((name) => !before.has(name));
  assert.equal(added.length, 1);
  return added[0] ?? '';
}

test('gc finds what no queue knows, touches nothing else, and deletes only on request', async () => {
  await using folder = await temporaryFolder();
  const objectStore = pathToFileURL(`${folder.path}/chunks`).href;
  const chunks = storeFolder(objectStore);
  await mkdir(chunks, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const [one, two] = [await emptyQueue(), await emptyQueue()];
  stack.use(one.queue);
  stack.use(two.queue);

  const ids = await submissionsInAllStates(one.url, objectStore);
  await submissionsInAllStates(two.url, objectStore);
  const known = (await readdir(chunks)).sort();
  assert.equal(known.length, 8);
  const lost = await killedUpload(one.url, objectStore, chunks);
  // Chunks of another producer that was slow: all of them are old but one.
  const slow = uuidV7(Date.now());
  const foreign = [uuidV7(Date.now()), 'backups', 'c232ab00-9414-4ec8-a3a0-0a1b2c3d4e5f'];
  for (const name of [slow, ...foreign]) {
    await mkdir(`${chunks}/${name}`);
    await writeFile(`${chunks}/${name}/0-in.bin`, 'x');
  }
  await writeFile(`${chunks}/${foreign[0]}/notes.txt`, 'mine');
  await age(chunks, 30 * DAY_MS);
  await writeFile(`${chunks}/${slow}/1-in.bin`, 'x');

  const gc = (...more: readonly string[]) =>
    opsqueue('gc', '--object-store', objectStore, '--older-than', '7d', ...more);
  const both = ['--url', one.url, '--url', two.url];
  const before = await filesBelow(chunks);
  const uploaded = before.filter((file) => file.startsWith(lost)).length;
  assert.ok(uploaded >= 8);

  await test('without --delete it only reports', async () => {
    const { code, stdout, stderr } = await gc(...both);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    const [first, ...rest] = stdout.trimEnd().split('\n');
    assert.match(first ?? '', new RegExp(`^${lost} .* ${uploaded} objects, `));
    assert.match(rest[0] ?? '', new RegExp(`^1 of 13 folders no queue knows: ${uploaded} objects, `));
    assert.deepEqual(rest.slice(1), [
      'kept: 8 known to a queue, 1 too young, 3 not of opsqueue',
      'nothing was deleted: --delete does',
    ]);
    assert.deepEqual(await filesBelow(chunks), before);
  });

  await test('a queue that is not named makes garbage of what it knows: the report shows it', async () => {
    const { stdout } = await gc('--url', one.url, '--json');
    const lines = stdout.trimEnd().split('\n');
    const report = JSON.parse(lines.at(-1) ?? '') as Record<string, number>;
    assert.deepEqual([report.known, report.garbage, report.deleted_objects], [4, 5, 0]);
    assert.equal(lines.length, 6);
  });

  await test('a queue that does not answer: nothing is deleted', async () => {
    const gone = await emptyQueue();
    await gone.queue.kill('SIGTERM');
    for (const urls of [
      [...both, '--url', gone.url],
      ['--url', gone.url, ...both],
    ]) {
      const { code, stdout, stderr } = await gc(...urls, '--delete');
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
      assert.match(stderr, new RegExp(`^opsqueue: [^\n]*${gone.url}[^\n]*\n$`));
    }
    assert.deepEqual(await filesBelow(chunks), before);
  });

  await test('with --delete that alone goes, and results stay readable', async () => {
    const { code, stdout } = await gc('--url', `${one.url},${two.url}`, '--delete');
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`\ndeleted ${uploaded} objects\n$`));
    assert.deepEqual(
      await filesBelow(chunks),
      before.filter((file) => !file.startsWith(lost)),
    );
    assert.deepEqual((await readdir(chunks)).sort(), [...known, slow, ...foreign].sort());
    await using producer = new ProducerClient(one.url, objectStore);
    const results = await Array.fromAsync(producer.submission(ids.get('completed') ?? 0n).results());
    assert.deepEqual(results, ['DONE', 'DONE', 'DONE']);
    assert.match((await gc(...both, '--delete')).stdout, /^0 of 12 folders .*\n.*\ndeleted 0 objects\n$/);
  });
});
