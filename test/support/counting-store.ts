import { MemoryStore } from '../../src/store/memory/memory-store.ts';

/** A store in memory that counts what it is asked for. */
export class CountingStore extends MemoryStore {
  /** Of bodies of `Direct` submissions. */
  bytesRead = 0;

  override async directContents(...args: Parameters<MemoryStore['directContents']>) {
    const contents = await super.directContents(...args);
    for (const content of contents) this.bytesRead += content?.length ?? 0;
    return contents;
  }
}
