import { statSync } from 'node:fs';
import { resolve } from 'node:path';

/** The folder that the command line names, `node_modules` without one. */
export function folderOf(args: readonly string[]): string {
  return resolve(args[0] ?? 'node_modules');
}

/** What is wrong with the command line; null if nothing is. Asked before anything is started. */
export function problemOf(args: readonly string[]): string | null {
  if (args.length > 1 || args[0]?.startsWith('-')) return 'usage: npm run demo -- [--stay] [FOLDER]';
  const folder = folderOf(args);
  const entry = statSync(folder, { throwIfNoEntry: false });
  if (entry === undefined) return `there is no folder ${folder}`;
  return entry.isDirectory() ? null : `${folder} is no folder`;
}
