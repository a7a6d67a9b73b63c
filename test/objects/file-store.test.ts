import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openObjectStore } from '../../src/objects/open.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { bytes, listed, objectStoreConformance, rejectsWith } from '../conformance/object-store.ts';
import { storeFolder } from '../support/objects/store-folder.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'opsqueue-file-store-'));
const disk = storeFolder(`${pathToFileURL(root)}`);
fs.mkdirSync(disk, { recursive: true });
after(() => [root, disk].map((path) => fs.rmSync(path, { recursive: true, force: true })));

for (const durable of [false, true]) {
  objectStoreConformance(durable ? 'file:, durable' : 'file:', async () => ({
    open: (name) => openObjectStore(`${pathToFileURL(join(root, String(durable), name))}`, { durable }),
    stop: async () => {},
  }));
}

describe('file:', () => {
  const folder = (name: string) => join(disk, name);
  const urlOf = (name: string) => `${pathToFileURL(join(root, name))}`;
  const open = (name: string, options = {}) => openObjectStore(urlOf(name), options);

  test('lays an object where the original does', async () => {
    const store = await openObjectStore(`${pathToFileURL(root)}/é~`);
    await store.put('p/0-in.bin', bytes(3));
    assert.equal(fs.readFileSync(join(disk, '%C3%A9%7E/p/0-in.bin')).length, 3);
  });

  test('steps around the temporary file of another writer, and leaves none of its own', async () => {
    const store = await open('temporary');
    await store.put('p/0-in.bin', bytes(1));
    fs.writeFileSync(join(folder('temporary'), 'p/0-in.bin#1'), 'of another');
    await store.put('p/0-in.bin', bytes(2));
    await store.put('p/1-in.bin', bytes(400_000));
    const names = fs.readdirSync(join(folder('temporary'), 'p')).sort();
    assert.deepEqual(names, ['0-in.bin', '0-in.bin#1', '1-in.bin']);
    assert.deepEqual(await listed(store, 'p'), ['p/0-in.bin', 'p/1-in.bin']);
  });

  test('sweeps up what dead writers left once the folder is empty, not what living ones write', async () => {
    const store = await open('abandoned');
    for (const prefix of ['old', 'new']) {
      await store.put(`${prefix}/0-in.bin`, bytes(1));
      const left = join(folder('abandoned'), prefix, '1-in.bin#1');
      fs.writeFileSync(left, 'torn');
      if (prefix === 'old') fs.utimesSync(left, new Date(0), new Date(0));
      await store.delete([`${prefix}/0-in.bin`]);
    }
    assert.deepEqual(fs.readdirSync(folder('abandoned')), ['new']);
  });

  test('refuses keys that lead out of its folder', async () => {
    const store = await open('inside');
    for (const key of ['../x', 'a/../../x', '', '/x', 'a//b']) {
      await assert.rejects(store.put(key, bytes(1)), /leaves the folder/, key);
      await assert.rejects(store.get(key), /leaves the folder/, key);
    }
  });

  test('says that a file stands where its folder should be', async () => {
    fs.writeFileSync(folder('a-file'), '');
    const store = await open('a-file');
    await rejectsWith('OBJECT_FAILED', store.put('p/0-in.bin', bytes(1)), 'p/0-in.bin');
  });

  test('a full disk is an error of its own, and leaves nothing torn behind', () => {
    // A limit on the size of a file is what a test can have of a full disk without being root.
    const script = fileURLToPath(new URL('../support/objects/fill-file-store.ts', import.meta.url));
    const url = urlOf('full');
    const ran = spawnSync(
      'bash',
      ['-c', 'ulimit -f 64; trap "" XFSZ; exec "$@"', '-', process.execPath, script, url],
      {
        encoding: 'utf8',
        // A locale that is not installed is worth a warning to bash.
        env: { ...process.env, LC_ALL: 'C' },
      },
    );
    assert.equal(ran.stderr, '');
    assert.deepEqual(JSON.parse(ran.stdout), {
      small: 'OBJECT_STORE_FULL',
      large: 'OBJECT_STORE_FULL',
      before: 1_000,
      names: ['0-in.bin'],
    });
  });

  test('takes the fast way only while the disk is known to be fast', async () => {
    let slow = true;
    let now = 0;
    const clock = {
      ...systemClock,
      monotonicMs: () => {
        now += slow ? 30 : 0.001;
        return now;
      },
    };
    const store = await openObjectStore(urlOf('slow'), {}, { clock });
    const turnsOf = async (call: () => Promise<unknown>) => {
      let turns = 0;
      let settled = false;
      const done = call().finally(() => {
        settled = true;
      });
      while (!settled) {
        turns++;
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      await done;
      return turns;
    };
    const put = () => store.put('p/0-in.bin', bytes(1));
    const get = () => store.get('p/0-in.bin');
    const blocks = async (call: () => Promise<unknown>) => (await turnsOf(call)) === 1;
    assert.equal(await blocks(put), false, 'nobody knows the disk yet');
    assert.equal(await blocks(get), false, 'it was slow');
    slow = false;
    assert.equal(await blocks(get), false, 'it was slow for the last call, too');
    assert.equal(await blocks(get), true);
    assert.equal(await blocks(put), true);
    slow = true;
    assert.equal(await blocks(put), true, 'nobody could know that');
    slow = false;
    assert.equal(await blocks(put), false, 'it was slow');
    assert.equal(await blocks(put), true);
    now += 2_000;
    assert.equal(await blocks(get), false, 'that it was fast is long ago');
    assert.equal(await blocks(get), true);
  });

  test('leaves its thread a turn while a loop does nothing but read', async () => {
    const store = await open('turns');
    await store.put('p/0-in.bin', bytes(10));
    let over = false;
    setImmediate(() => {
      over = true;
    });
    let calls = 0;
    while (!over && calls < 1_000_000) {
      await store.get('p/0-in.bin');
      calls++;
    }
    assert.ok(over);
  });
});
