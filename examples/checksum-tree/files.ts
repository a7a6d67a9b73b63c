import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** What was met on the way through a folder. */
export interface Found {
  files: number;
  /** Folders below it that could not be read. */
  readonly unreadable: string[];
}

/** Every regular file below a folder, one after the other; symbolic links are not followed. */
export async function* filesBelow(folder: string, found: Found): AsyncGenerator<string, void> {
  const waiting = [folder];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    let entries: Dirent[];
    try {
      entries = await readdir(next, { withFileTypes: true });
    } catch (error) {
      if (next === folder) throw error;
      found.unreadable.push(next);
      continue;
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) waiting.push(path);
      if (!entry.isFile()) continue;
      found.files++;
      yield path;
    }
  }
}
