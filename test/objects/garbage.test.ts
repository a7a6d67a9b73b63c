import assert from 'node:assert/strict';
import { lutimesSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  findGarbage,
  type GarbageFolder,
  type GarbageSearch,
  type KnowingQueue,
} from '../../src/objects/garbage.ts';
import { chunkKey, digestsKey } from '../../src/objects/keys.ts';
import { MemoryObjectStore } from '../../src/objects/memory-store.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { parseObjectStoreUrl } from '../../src/objects/url.ts';
import { uuidV7 } from '../../src/system/random.ts';
import { bytes, listed, rejectsWith } from '../conformance/object-store.ts';
import { TempStore } from '../support/objects/temp-store.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const DAY_MS = 86_400_000;

function setUp() {
  const clock = new ManualClock();
  const store = new MemoryObjectStore(parseObjectStoreUrl('memory:///'), clock, new Map());
  const put = async (prefix: string, chunks = 2) => {
    for (let index = 0; index < chunks; index++) {
      await store.put(chunkKey(prefix, index, 'in'), bytes(10));
      await store.put(chunkKey(prefix, index, 'out'), bytes(20));
    }
    return prefix;
  };
  const fresh = (chunks?: number) => put(uuidV7(clock.nowMs()), chunks);
  const search = (queues: readonly KnowingQueue[], more: Partial<GarbageSearch> = {}) => {
    const found: GarbageFolder[] = [];
    const before = clock.nowMs() - 7 * DAY_MS;
    return {
      found,
      report: findGarbage({
        store,
        queues,
        before,
        delete: true,
        onFolder: (folder) => found.push(folder),
        ...more,
      }),
    };
  };
  return { clock, store, put, fresh, search };
}

/** A queue that knows these prefixes. */
function queueOf(...prefixes: string[]): KnowingQueue & { asked: number } {
  return {
    asked: 0,
    async known(asked) {
      this.asked++;
      return asked.map((prefix) => prefixes.includes(prefix));
    },
  };
}

describe('garbage in an object store', () => {
  test('is what no queue knows and what is old, and is deleted on request only', async () => {
    const { clock, store, fresh, search } = setUp();
    const [old, ofOne, ofOther] = [await fresh(3), await fresh(), await fresh()];
    clock.advance(8 * DAY_MS);
    const young = await fresh();
    const queues = [queueOf(ofOne), queueOf(ofOther)];
    const before = await listed(store, '');
    const dry = search(queues, { delete: false });
    const report = {
      folders: 4,
      foreign: 0,
      known: 2,
      young: 1,
      garbage: 1,
      garbageObjects: 6,
      garbageBytes: 90,
    };
    assert.deepEqual(await dry.report, { ...report, deletedObjects: 0 });
    assert.deepEqual(
      dry.found.map(({ prefix }) => prefix),
      [old],
    );
    assert.deepEqual(await listed(store, ''), before);
    assert.deepEqual(await search(queues).report, { ...report, deletedObjects: 6 });
    const left = await Array.fromAsync(store.listFolders(''));
    assert.deepEqual(left.sort(), [ofOne, ofOther, young].sort());
  });

  test('leaves what was written into its folder since it was looked into', async () => {
    const { clock, store, fresh, search } = setUp();
    const prefix = await fresh();
    clock.advance(8 * DAY_MS);
    const queue = queueOf();
    const queues: KnowingQueue[] = [
      {
        async known(asked) {
          // The fourth question is the one right before the deletion.
          if (queue.asked === 3) await store.put(chunkKey(prefix, 7, 'in'), bytes(10));
          return queue.known(asked);
        },
      },
    ];
    assert.equal((await search(queues).report).deletedObjects, 4);
    assert.deepEqual(await listed(store, prefix), [chunkKey(prefix, 7, 'in')]);
  });

  test('is young as long as its newest object is', async () => {
    const { clock, store, fresh, search } = setUp();
    const prefix = await fresh();
    clock.advance(8 * DAY_MS);
    await store.put(chunkKey(prefix, 9, 'out'), bytes(1));
    assert.equal((await search([queueOf()]).report).young, 1);
    clock.advance(8 * DAY_MS);
    assert.equal((await search([queueOf()]).report).garbage, 1);
  });

  test('is a named run as well, which its digests tell from other folders, and which they outlive', async () => {
    const { clock, store, put, search } = setUp();
    for (const name of ['broken-off', 'known']) await store.put(digestsKey(await put(name), 0), bytes(7));
    await put('not-ours');
    clock.advance(8 * DAY_MS);
    const deleted: (readonly string[])[] = [];
    const remove = store.delete.bind(store);
    store.delete = (keys) => {
      deleted.push(keys);
      return remove(keys);
    };
    const { foreign, known, garbage, garbageBytes } = await search([queueOf('known')]).report;
    assert.deepEqual(
      { foreign, known, garbage, garbageBytes },
      { foreign: 1, known: 1, garbage: 1, garbageBytes: 67 },
    );
    assert.deepEqual((await Array.fromAsync(store.listFolders(''))).sort(), ['known', 'not-ours']);
    assert.deepEqual(deleted.at(-1), [digestsKey('broken-off', 0)]);
  });

  test('is no named run whose upload is continued since it was looked into', async () => {
    const { clock, store, put, search } = setUp();
    await store.put(digestsKey(await put('nightly'), 0), bytes(7));
    clock.advance(8 * DAY_MS);
    const queue = queueOf();
    const queues: KnowingQueue[] = [
      {
        async known(asked) {
          if (queue.asked === 3) await store.put(digestsKey('nightly', 0), bytes(7));
          return queue.known(asked);
        },
      },
    ];
    const { young, deletedObjects } = await search(queues).report;
    assert.deepEqual({ young, deletedObjects }, { young: 1, deletedObjects: 0 });
  });

  test('is nothing but folders named by a UUID v7 with chunk bodies in them', async () => {
    const { clock, store, put, fresh, search } = setUp();
    await put('backups');
    await put('c232ab00-9414-4ec8-a3a0-0a1b2c3d4e5f');
    await put('0190C4DE-6F1C-7D20-8A3C-2F8D1C0A4B5E');
    await store.put('0-in.bin', bytes(1));
    const mixed = await fresh();
    await store.put(`${mixed}/notes.txt`, bytes(1));
    const deep = uuidV7(clock.nowMs());
    await store.put(`${deep}/more/0-in.bin`, bytes(1));
    const odd = uuidV7(clock.nowMs());
    await store.put(`${odd}/00-in.bin`, bytes(1));
    clock.advance(100 * DAY_MS);
    const before = await listed(store, '');
    const { folders, foreign, garbage, deletedObjects } = await search([queueOf()]).report;
    assert.deepEqual(
      { folders, foreign, garbage, deletedObjects },
      { folders: 6, foreign: 6, garbage: 0, deletedObjects: 0 },
    );
    assert.deepEqual(await listed(store, ''), before);
  });

  test('is never what has no date, or one in the future', async () => {
    const { clock, store, fresh, search } = setUp();
    await fresh();
    for (const modifiedMs of [0, Number.NaN, clock.nowMs() + 100 * DAY_MS]) {
      const dated: ObjectStore = {
        url: store.url,
        put: (key, body) => store.put(key, body),
        get: (key) => store.get(key),
        delete: (keys) => store.delete(keys),
        listFolders: (folder) => store.listFolders(folder),
        async *list(folder) {
          for await (const info of store.list(folder)) yield { ...info, modifiedMs };
        },
        close: () => store.close(),
      };
      clock.advance(10 * DAY_MS);
      assert.equal((await search([queueOf()], { store: dated }).report).young, 1, String(modifiedMs));
    }
  });

  test('stays, all of it, if one of the queues cannot be asked', async () => {
    const { clock, store, fresh, search } = setUp();
    await fresh();
    clock.advance(8 * DAY_MS);
    const before = await listed(store, '');
    const away = { known: () => Promise.reject(new Error('away')) };
    for (const queues of [[away], [queueOf(), away], [away, queueOf()]]) {
      await assert.rejects(search(queues).report, /away/);
    }
    const short = { known: async () => [] };
    await assert.rejects(search([queueOf(), short]).report, /asked for 1 prefixes, told of 0/);
    assert.deepEqual(await listed(store, ''), before);
  });

  test('stays if the store cannot be listed to its end', async () => {
    const { clock, store, fresh, search } = setUp();
    await fresh();
    clock.advance(8 * DAY_MS);
    const listFolders = async function* (folder: string) {
      yield* store.listFolders(folder);
      throw new Error('no more');
    };
    const broken: ObjectStore = {
      url: store.url,
      put: (key, body) => store.put(key, body),
      get: (key) => store.get(key),
      delete: (keys) => store.delete(keys),
      list: (folder) => store.list(folder),
      listFolders,
      close: () => store.close(),
    };
    const before = await listed(store, '');
    await assert.rejects(search([queueOf()], { store: broken }).report, /no more/);
    assert.deepEqual(await listed(store, ''), before);
  });

  test('is asked about once more right before it goes: it may have been inserted meanwhile', async () => {
    const { clock, store, fresh, search } = setUp();
    const prefix = await fresh();
    clock.advance(8 * DAY_MS);
    const queue = queueOf();
    const late: KnowingQueue = {
      known: async (prefixes) => (queue.asked < 2 ? queue.known(prefixes) : prefixes.map(() => true)),
    };
    const { known, garbage } = await search([late]).report;
    assert.deepEqual({ known, garbage }, { known: 1, garbage: 0 });
    assert.equal((await listed(store, prefix)).length, 4);
  });

  test('is asked about again folder by folder: the ones before may take long to delete', async () => {
    const { clock, store, fresh, search } = setUp();
    const prefixes = [await fresh(), await fresh(), await fresh()];
    clock.advance(8 * DAY_MS);
    const inserted: string[] = [];
    const known = async (asked: readonly string[]) => asked.map((prefix) => inserted.includes(prefix));
    const slow: ObjectStore = {
      url: store.url,
      put: (key, body) => store.put(key, body),
      get: (key) => store.get(key),
      async delete(keys) {
        await store.delete(keys);
        inserted.push(...prefixes.slice(1));
      },
      list: (folder) => store.list(folder),
      listFolders: (folder) => store.listFolders(folder),
      close: () => store.close(),
    };
    const dry = search([{ known }], { delete: false });
    assert.equal((await dry.report).garbage, 3);
    const { found, report } = search([{ known }], { store: slow });
    const counts = await report;
    assert.deepEqual([counts.garbage, counts.known, counts.deletedObjects], [1, 2, 4]);
    assert.deepEqual(
      found.map(({ prefix }) => prefix),
      [prefixes[0]],
    );
    for (const prefix of prefixes.slice(1)) assert.equal((await listed(store, prefix)).length, 4);
  });

  test('may be a lot', async () => {
    const { clock, store, fresh, search } = setUp();
    const prefixes = [];
    for (let i = 0; i < 250; i++) prefixes.push(await fresh(1));
    const large = await fresh(1_200);
    clock.advance(8 * DAY_MS);
    const kept = prefixes.filter((_, index) => index % 2 === 0);
    const report = await search([queueOf(...kept)]).report;
    assert.deepEqual([report.known, report.garbage, report.deletedObjects], [125, 126, 250 + 2_400]);
    assert.ok(!(await Array.fromAsync(store.listFolders(''))).includes(large));
  });

  test('is no longer looked for once the signal is aborted', async () => {
    const { fresh, search } = setUp();
    await fresh();
    await assert.rejects(
      search([queueOf()], { signal: AbortSignal.abort(new Error('enough')) }).report,
      /enough/,
    );
  });
});

describe('garbage in a folder of this machine', () => {
  test('is nothing that opsqueue has not written, whatever it is called', async () => {
    await using objects = await TempStore.create();
    const { folder: root, store } = objects;
    const left = () => readdirSync(root).map((folder) => readdirSync(join(root, folder)).sort());
    const odd: Record<string, (path: string) => void> = {
      'meeting-notes#3': (path) => writeFileSync(path, 'x'),
      '0-in.bin#draft#2': (path) => writeFileSync(path, 'x'),
      README: (path) => symlinkSync('../elsewhere', path),
      'a-folder': (path) => symlinkSync('..', path),
    };
    for (const [name, make] of Object.entries(odd)) {
      const folder = join(root, uuidV7(Object.keys(odd).indexOf(name)));
      mkdirSync(folder);
      writeFileSync(join(folder, '0-in.bin'), 'x');
      make(join(folder, name));
      for (const file of ['0-in.bin', name]) lutimesSync(join(folder, file), 1_000, 1_000);
    }
    const before = left();
    const queues = [queueOf()];
    const report = await findGarbage({ store, queues, before: Date.now(), delete: true });
    assert.deepEqual([report.foreign, report.garbage], [4, 0]);
    assert.deepEqual(left(), before);
    // Nor is it swept up where the chunks beside it are deleted by somebody else.
    for (const folder of await Array.fromAsync(store.listFolders(''))) {
      await store.delete([`${folder}/0-in.bin`]);
    }
    assert.deepEqual(left().flat().sort(), Object.keys(odd).sort());
  });

  test('is not looked for where there is no folder: that is an error, which names it', async () => {
    await using objects = await TempStore.create();
    const search = async (name: string) => {
      const store = await openObjectStore(`${objects.url}${name}`);
      return findGarbage({ store, queues: [queueOf()], before: Date.now(), delete: true });
    };
    const missing = await rejectsWith('OBJECT_NOT_FOUND', search('/missing'));
    assert.match(missing.message, /^object store: cannot list \/.*\/missing: ENOENT/);
    writeFileSync(join(objects.folder, 'a-file'), 'x');
    const file = await rejectsWith('OBJECT_FAILED', search('/a-file'));
    assert.match(file.message, /^object store: cannot list \/.*\/a-file: ENOTDIR/);
    assert.equal((await search('')).folders, 0);
  });
});
