import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { randomInt, seededRandom, systemRandom } from '../../src/system/random.ts';
import { ROOT, runNode, startQueue } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const OPS = 600;
const CHUNKS = OPS / 5;
const SEED = Number(process.env.OPSQUEUE_KILL_SEED ?? randomInt(systemRandom, 2 ** 31));

test(`a named run whose producer is killed again and again is uploaded once (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  const { queue, port } = await startQueue(['--database-filename', `${folder.path}/q.db`]);
  stack.use(queue);
  const url = `localhost:${port}`;
  const objectStore = pathToFileURL(`${folder.path}/chunks/`).href;
  const written = `${folder.path}/written.txt`;
  const produce = (settings: Readonly<Record<string, unknown>>) => {
    const args = [url, objectStore, written, JSON.stringify({ ops: OPS, ...settings })];
    return stack.use(runNode([`${ROOT}test/e2e/fixtures/named-producer.ts`, ...args]));
  };
  const chunksWritten = () =>
    (existsSync(written) ? readFileSync(written, 'utf8') : '')
      .split('\n')
      .filter((key) => key.endsWith('-in.bin'));

  let killed = 0;
  let isChangeTried = false;
  // A producer that is killed has written four chunks at most that are not written down.
  for (let left = CHUNKS; left > 0; left = CHUNKS - chunksWritten().length - 4 * killed) {
    const settings = {
      killAt: randomInt(random, Math.min(60, left)),
      when: random.next() < 0.5 ? 'before' : 'after',
      isHasty: random.next() < 0.5,
    };
    const { signal } = await produce(settings).exit();
    assert.equal(signal, 'SIGKILL');
    killed++;
    const chunks = chunksWritten().length;
    if (isChangeTried || chunks < 40) continue;
    isChangeTried = true;
    const at = randomInt(random, chunks - 10);
    const changed = await produce({ changed: at * 5 }).line(/^error: (.*)/);
    assert.match(changed[1]!, new RegExp(`: chunk ${at} differs;`));
    assert.equal(chunksWritten().length, chunks);
  }
  assert.ok(isChangeTried);

  // It is killed once more while it waits for results.
  const waiting = produce({});
  await waiting.line(/^in_progress/);
  const submitted = await idOfRun(url);
  await waiting.kill('SIGKILL');
  stack.use(runNode([`${ROOT}test/e2e/fixtures/doubling-consumer.ts`, url, objectStore, '0']));
  const last = produce({});
  const [, results] = await last.line(/^results: (.*)/);
  assert.equal(results, `${OPS} ${OPS * (OPS - 1)}`);
  assert.equal(await idOfRun(url), submitted);

  const keys = chunksWritten();
  assert.equal(new Set(keys).size, keys.length, 'no chunk was written twice');
  // Those that are missing were written by producers that were killed right after that.
  assert.ok(
    keys.length >= CHUNKS - killed * 4 && keys.length <= CHUNKS,
    `${keys.length} chunks were written`,
  );
});

async function idOfRun(url: string): Promise<string> {
  const response = await fetch(`http://${url}/producer/submissions/lookup_id_by_prefix/killed`);
  const id = await response.text();
  assert.match(id, /^[0-9]+$/);
  return id;
}
