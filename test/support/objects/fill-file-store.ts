/** Writes beyond the limit on file sizes that its parent set; prints what came of it. See file-store.test.ts. */
import { readdirSync } from 'node:fs';
import { ObjectStoreError } from '../../../src/objects/errors.ts';
import { openObjectStore } from '../../../src/objects/open.ts';
import { storeFolder } from './store-folder.ts';

const url = process.argv[2] ?? '';
const store = await openObjectStore(url);
await store.put('p/0-in.bin', new Uint8Array(1_000));

async function codeOf(sizeBytes: number): Promise<string> {
  try {
    await store.put('p/0-in.bin', new Uint8Array(sizeBytes));
    return 'written';
  } catch (error) {
    return error instanceof ObjectStoreError ? error.code : String(error);
  }
}

const small = await codeOf(100_000);
const large = await codeOf(1_000_000);
const before = (await store.get('p/0-in.bin')).length;
console.log(JSON.stringify({ small, large, before, names: readdirSync(`${storeFolder(url)}/p`) }));
