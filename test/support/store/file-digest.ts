import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * Tells whether a file is the same as before. Compare this, never the bytes: when large buffers differ, the message
 * of `deepEqual` takes gigabytes and the machine with it.
 */
export function fileDigest(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
