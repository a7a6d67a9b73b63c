import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ObjectStoreError } from '../../src/objects/errors.ts';
import { chunkKey } from '../../src/objects/keys.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';

export interface ObjectStoreSubject {
  /** A store whose base path holds nothing yet. Called twice with the same name: two stores of the same place. */
  open(name: string): Promise<ObjectStore>;
  stop(): Promise<void>;
}

export interface ObjectStoreTraits {
  /** Objects of the listing that needs more than one page; 0 where a page has no end. Default 0. */
  readonly listingObjects?: number;
  /** Whether the server below writes over an object in place, so that its readers may see half of one. Default false. */
  readonly overwritesInPlace?: boolean;
  /** Whether a listing leaves out names that begin with a dot; such a prefix is none of ours. */
  readonly hidesDotNames?: boolean;
}

/** What every implementation of {@link ObjectStore} does, whatever the scheme. */
export function objectStoreConformance(
  name: string,
  start: () => Promise<ObjectStoreSubject>,
  traits: ObjectStoreTraits = {},
): void {
  describe(`an object store (${name})`, () => {
    let subject: ObjectStoreSubject;
    let stores: ObjectStore[] = [];
    const open = async (place: string): Promise<ObjectStore> => {
      const store = await subject.open(place);
      stores.push(store);
      return store;
    };
    before(async () => {
      subject = await start();
    });
    after(async () => {
      for (const store of stores) await store.close();
      stores = [];
      await subject?.stop();
    });

    test('gives back what was put, byte for byte', async () => {
      const store = await open('bytes');
      for (const size of [1, 100, 10_000, 300_000]) {
        const body = bytes(size);
        await store.put(`p/${size}-in.bin`, body);
        assert.deepEqual(new Uint8Array(await store.get(`p/${size}-in.bin`)), body);
      }
    });

    test('keeps an empty object', async () => {
      const store = await open('empty');
      await store.put('p/0-in.bin', new Uint8Array(0));
      assert.equal((await store.get('p/0-in.bin')).length, 0);
    });

    test('takes a view into a larger buffer, and does not hold on to it', async () => {
      const store = await open('views');
      const whole = bytes(1_000);
      await store.put('p/0-in.bin', whole.subarray(100, 200));
      const expected = whole.slice(100, 200);
      whole.fill(0);
      assert.deepEqual(new Uint8Array(await store.get('p/0-in.bin')), expected);
    });

    test('returns bytes that are alone in their buffer, so that it can go to another thread', async () => {
      const store = await open('alone');
      for (const size of [10, 100_000]) {
        await store.put('p/0-in.bin', bytes(size));
        const first = await store.get('p/0-in.bin');
        assert.equal(first.byteOffset, 0);
        assert.equal(first.buffer.byteLength, size);
        first.fill(0);
        assert.deepEqual(new Uint8Array(await store.get('p/0-in.bin')), bytes(size));
      }
    });

    test('overwrites', async () => {
      const store = await open('overwrites');
      await store.put('p/0-out.bin', bytes(1_000));
      await store.put('p/0-out.bin', bytes(10));
      assert.deepEqual(new Uint8Array(await store.get('p/0-out.bin')), bytes(10));
    });

    test('shows another client what was put', async () => {
      const [one, other] = [await open('shared'), await open('shared')];
      await one.put('p/0-in.bin', bytes(10));
      assert.deepEqual(new Uint8Array(await other.get('p/0-in.bin')), bytes(10));
    });

    test('keeps places apart', async () => {
      const [one, other] = [await open('apart'), await open('apart-2')];
      await one.put('p/0-in.bin', bytes(10));
      await rejectsWith('OBJECT_NOT_FOUND', other.get('p/0-in.bin'));
      assert.deepEqual(await listed(other, ''), []);
    });

    test('says that an object is missing, and names its key', async () => {
      const store = await open('missing');
      await rejectsWith('OBJECT_NOT_FOUND', store.get('p/7-in.bin'), 'p/7-in.bin');
      await store.put('p/8-in.bin', bytes(1));
      await rejectsWith('OBJECT_NOT_FOUND', store.get('p/7-in.bin'), 'p/7-in.bin');
    });

    test('takes every key that an old producer may have made', async () => {
      const store = await open('keys');
      const prefixes = ['é~', 'a b+c', '100%', 'x#y?z&=', "s;b:c@d!e'f(g)h,i", 'ä/ö', '%2F', '...'];
      for (const prefix of prefixes) await store.put(chunkKey(prefix, 3, 'in'), Buffer.from(prefix));
      for (const prefix of prefixes) {
        assert.equal(Buffer.from(await store.get(chunkKey(prefix, 3, 'in'))).toString(), prefix);
      }
      const keys = prefixes.map((prefix) => chunkKey(prefix, 3, 'in')).sort();
      const shown = traits.hidesDotNames === true ? keys.filter((key) => !key.startsWith('.')) : keys;
      assert.deepEqual(await listed(store, ''), shown);
      await store.delete(keys);
      assert.deepEqual(await listed(store, ''), []);
    });

    test('lists objects with size and age', async () => {
      const store = await open('ages');
      const beganMs = Date.now();
      await store.put('p/0-in.bin', bytes(123));
      const infos = [];
      for await (const info of store.list('p')) infos.push(info);
      assert.equal(infos.length, 1);
      assert.deepEqual([infos[0]?.key, infos[0]?.sizeBytes], ['p/0-in.bin', 123]);
      // Some tell whole seconds only.
      assert.ok(Math.abs((infos[0]?.modifiedMs ?? 0) - beganMs) < 30_000, String(infos[0]?.modifiedMs));
    });

    test('lists what is below a folder, and nothing of a folder whose name goes on', async () => {
      const store = await open('folders');
      for (const key of ['a/0-in.bin', 'a/0-out.bin', 'ab/0-in.bin', 'b/c/0-in.bin'])
        await store.put(key, bytes(1));
      assert.deepEqual(await listed(store, 'a'), ['a/0-in.bin', 'a/0-out.bin']);
      assert.deepEqual(await listed(store, 'b'), ['b/c/0-in.bin']);
      assert.deepEqual(await listed(store, 'none'), []);
      assert.deepEqual(await folders(store, ''), ['a', 'ab', 'b']);
      assert.deepEqual(await folders(store, 'b'), ['c']);
      assert.deepEqual(await folders(store, 'none'), []);
    });

    test('deletes many at once, the missing ones included, and forgets the folder with them', async () => {
      const store = await open('deletes');
      const keys = Array.from({ length: 40 }, (_, index) => chunkKey('p', index, 'in'));
      await Promise.all(keys.map((key) => store.put(key, bytes(1))));
      await store.put('q/0-in.bin', bytes(1));
      await store.delete(keys.slice(10));
      assert.deepEqual(await listed(store, 'p'), keys.slice(0, 10).sort());
      await store.delete(keys);
      await store.delete([...keys, 'never/0-in.bin']);
      await store.delete([]);
      assert.deepEqual(await listed(store, ''), ['q/0-in.bin']);
      assert.deepEqual(await folders(store, ''), ['q']);
      await store.put(keys[0] ?? '', bytes(2));
      assert.deepEqual(await folders(store, ''), ['p', 'q']);
    });

    const { listingObjects = 0 } = traits;
    if (listingObjects > 0) {
      test(`lists and deletes ${listingObjects} objects in ${listingObjects} folders, over several pages`, async () => {
        const store = await open('pages');
        const keys = Array.from({ length: listingObjects }, (_, index) => `f${index}/${index}-in.bin`).sort();
        await inParallel(16, keys, (key) => store.put(key, bytes(1)));
        assert.deepEqual(await listed(store, ''), keys);
        assert.equal((await folders(store, '')).length, listingObjects);
        await store.delete(keys);
        assert.deepEqual(await listed(store, ''), []);
      });
    }

    test('serves many calls at once', async () => {
      const store = await open('parallel');
      const keys = Array.from({ length: 64 }, (_, index) => chunkKey('p', index, 'in'));
      await Promise.all(keys.map((key, index) => store.put(key, bytes(index + 1))));
      const found = await Promise.all(keys.map((key) => store.get(key)));
      assert.deepEqual(
        found.map((body) => body.length),
        keys.map((_, index) => index + 1),
      );
    });

    if (traits.overwritesInPlace !== true) {
      test('lets readers see a whole object or none while it is overwritten', async () => {
        const [writer, reader] = [await open('torn'), await open('torn')];
        const sizes = [1_000, 40_000];
        await writer.put('p/0-out.bin', new Uint8Array(1_000).fill(1_000 % 251));
        let done = false;
        const writing = (async () => {
          for (let i = 0; i < 40; i++) {
            const size = sizes[i % 2] ?? 0;
            await writer.put('p/0-out.bin', new Uint8Array(size).fill(size % 251));
          }
          done = true;
        })();
        while (!done) {
          const seen = await reader.get('p/0-out.bin');
          assert.ok(sizes.includes(seen.length), `an object of ${seen.length} bytes`);
          assert.ok(seen.every((byte) => byte === seen.length % 251));
        }
        await writing;
      });
    }

    test('does nothing once its signal was aborted', async () => {
      const store = await open('aborted');
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      await assert.rejects(store.put('p/0-in.bin', bytes(1), { signal }), reason);
      await assert.rejects(store.get('p/0-in.bin', { signal }), reason);
      await rejectsWith('OBJECT_NOT_FOUND', store.get('p/0-in.bin'));
    });

    test('closes more than once', async () => {
      const store = await subject.open('closing');
      await store.put('p/0-in.bin', bytes(1));
      await store.close();
      await store.close();
    });
  });
}

export async function rejectsWith(
  code: string,
  promise: Promise<unknown>,
  key?: string,
): Promise<ObjectStoreError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof ObjectStoreError, String(error));
    assert.equal(error.code, code, error.message);
    if (key !== undefined) {
      assert.equal(error.key, key);
      assert.ok(error.message.includes(key), error.message);
    }
    return error;
  }
  assert.fail(`did not reject with ${code}`);
}

export async function listed(store: ObjectStore, folder: string): Promise<string[]> {
  const keys = [];
  for await (const { key } of store.list(folder)) keys.push(key);
  return keys.sort();
}

async function folders(store: ObjectStore, folder: string): Promise<string[]> {
  return (await Array.fromAsync(store.listFolders(folder))).sort();
}

/** Bytes that differ from their neighbours, the same for the same size. */
export function bytes(size: number): Uint8Array {
  const body = new Uint8Array(size);
  for (let i = 0; i < size; i++) body[i] = (i * 31 + (i >>> 8) + size) & 0xff;
  return body;
}

async function inParallel<T>(
  width: number,
  items: readonly T[],
  run: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of queue) await run(item);
    }),
  );
}
