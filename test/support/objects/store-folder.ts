import { parseObjectStoreUrl } from '../../../src/objects/url.ts';

/**
 * Where the chunks of a `file:` URL are on disk. As with the original, the percent-encoded names of the URL are the
 * folders' names: what is not ASCII in a path has another folder than the path says, also a TMPDIR.
 */
export function storeFolder(url: string): string {
  return `/${parseObjectStoreUrl(url).baseName}`;
}
