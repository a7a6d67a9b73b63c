import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';

/** How many file descriptors this process may have open; null where the system does not tell. */
export function descriptorsMax(): number | null {
  try {
    // Node.js raises the soft limit to the hard one when it starts.
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

/** How many file descriptors this process has open; null where the system does not tell. */
export async function descriptorsOpen(): Promise<number | null> {
  try {
    // One is that of the folder itself.
    return (await readdir('/proc/self/fd')).length - 1;
  } catch {
    return null;
  }
}
