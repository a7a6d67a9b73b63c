import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chunkKey } from '../../src/objects/keys.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';

/** A `file:` object store in a folder of its own that goes away with it. */
export class TempStore implements AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly store: ObjectStore;

  private constructor(folder: string, store: ObjectStore) {
    this.folder = folder;
    this.url = pathToFileURL(folder).href;
    this.store = store;
  }

  static async create(): Promise<TempStore> {
    const folder = await mkdtemp(join(tmpdir(), 'opsqueue-objects-'));
    return new TempStore(folder, await openObjectStore(pathToFileURL(folder).href));
  }

  async putInput(prefix: string, index: number, bytes: Uint8Array): Promise<void> {
    await this.store.put(chunkKey(prefix, index, 'in'), bytes);
  }

  readOutput(prefix: string, index: number): Promise<Uint8Array> {
    return readFile(join(this.folder, chunkKey(prefix, index, 'out')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
