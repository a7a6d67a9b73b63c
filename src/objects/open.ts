import { IncorrectUsageError } from '../model/errors.ts';
import { type Clock, systemClock } from '../system/clock.ts';
import { FileStore } from './file-store.ts';
import { MemoryStore } from './memory-store.ts';
import type { ObjectStore, ObjectStoreOptions } from './object-store.ts';
import { OptionReader } from './options.ts';
import { type ObjectStoreLocation, parseObjectStoreUrl } from './url.ts';

export { isThreadSafeUrl, type ObjectStoreLocation, parseObjectStoreUrl } from './url.ts';

/** What a store gets from its surroundings. */
export interface ObjectStoreContext {
  readonly clock?: Clock;
}

/**
 * Opens the object store of a URL. What the scheme needs beyond this package is loaded here.
 *
 * @throws IncorrectUsageError for a URL or an option that makes no sense
 */
export async function openObjectStore(
  url: string,
  options: ObjectStoreOptions = {},
  context: ObjectStoreContext = {},
): Promise<ObjectStore> {
  const location = parseObjectStoreUrl(url);
  const clock = context.clock ?? systemClock;
  switch (location.kind) {
    case 'file':
      return new FileStore(location, {
        durable: new OptionReader(options, 'file_').flag(false, 'durable'),
        clock,
      });
    case 'memory':
      return new MemoryStore(location, clock);
    default:
      throw notYet(location);
  }
}

function notYet(location: ObjectStoreLocation): IncorrectUsageError {
  return new IncorrectUsageError(`object store URL "${location.url}": ${location.kind} is not supported yet`);
}
