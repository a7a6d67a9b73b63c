import { MemoryObjectStore } from '../../../src/objects/memory-store.ts';
import { parseObjectStoreUrl } from '../../../src/objects/url.ts';
import { systemClock } from '../../../src/system/time/clock.ts';

/** An empty object store in memory that nobody else sees. */
export function freshStore(): MemoryObjectStore {
  return new MemoryObjectStore(parseObjectStoreUrl('memory:///test/'), systemClock, new Map());
}
