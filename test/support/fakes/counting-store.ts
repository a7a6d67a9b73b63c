import { MemoryStore } from '../../../src/store/memory/memory-store.ts';

/** A store in memory that counts what it is asked for. */
export class CountingStore extends MemoryStore {
  /** Of bodies of `Direct` submissions. */
  bytesRead = 0;

  /** How many prefixes were looked up with each call. */
  readonly prefixesAsked: number[] = [];

  /** How many submissions each call told of as due. */
  readonly dueTold: number[] = [];

  override async due(...args: Parameters<MemoryStore['due']>) {
    const due = await super.due(...args);
    this.dueTold.push(due.length);
    return due;
  }

  override async idsByPrefix(prefixes: readonly string[]) {
    this.prefixesAsked.push(prefixes.length);
    return super.idsByPrefix(prefixes);
  }

  override async directContents(...args: Parameters<MemoryStore['directContents']>) {
    const contents = await super.directContents(...args);
    for (const content of contents) this.bytesRead += content?.length ?? 0;
    return contents;
  }
}
