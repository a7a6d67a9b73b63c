import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chunkKey } from '../../../src/objects/keys.ts';
import type { ObjectStore } from '../../../src/objects/object-store.ts';
import { openObjectStore } from '../../../src/objects/open.ts';
import { storeFolder } from './store-folder.ts';

/** A `file:` object store in a folder of its own that goes away with it. */
export class TempStore implements AsyncDisposable {
  readonly url: string;
  /** Where its objects are, which is elsewhere if the path of the temporary folder is not ASCII. */
  readonly folder: string;
  readonly store: ObjectStore;

  readonly #made: string;

  private constructor(made: string, store: ObjectStore) {
    this.#made = made;
    this.url = pathToFileURL(made).href;
    this.folder = storeFolder(this.url);
    this.store = store;
  }

  static async create(): Promise<TempStore> {
    const folder = await mkdtemp(join(tmpdir(), 'opsqueue-objects-'));
    const temp = new TempStore(folder, await openObjectStore(pathToFileURL(folder).href));
    await mkdir(temp.folder, { recursive: true });
    return temp;
  }

  async putInput(prefix: string, index: number, bytes: Uint8Array): Promise<void> {
    await this.store.put(chunkKey(prefix, index, 'in'), bytes);
  }

  readOutput(prefix: string, index: number): Promise<Uint8Array> {
    return readFile(join(this.folder, chunkKey(prefix, index, 'out')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    for (const path of [this.folder, this.#made]) await rm(path, { recursive: true, force: true });
  }
}
