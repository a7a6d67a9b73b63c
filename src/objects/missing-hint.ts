import { ObjectStoreError } from './errors.ts';

/**
 * What to add to the error of a body that must have been written and is not there: mostly that two sides of the queue
 * look in different places. Empty for other errors.
 *
 * @param storeUrl where this side looks, without credentials
 */
export function missingHint(
  error: unknown,
  storeUrl: string,
  [reader, writer]: readonly ['consumer', 'producer'] | readonly ['producer', 'consumer'],
): string {
  if (!(error instanceof ObjectStoreError) || error.code !== 'OBJECT_NOT_FOUND') return '';
  return `; this ${reader} reads from ${storeUrl}: the ${writer} must use the same object store URL, base path included (or the chunk was deleted)`;
}
