import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IncorrectUsageError } from '../../../model/errors.ts';

/** Where a database is: in memory, private to the store, or in a file. */
export type DatabaseLocation =
  | { readonly kind: 'memory' }
  | {
      readonly kind: 'file';
      /** Absolute; symbolic links resolved, so that two names of one file share one lock. */
      readonly path: string;
      /** `mode=rw`: do not create it. */
      readonly mustExist: boolean;
    };

/**
 * Understands what SQLite understands: a path, `:memory:`, or a URI such as `file:queue.db?mode=rw`,
 * `file:///var/lib/queue.db`, `file::memory:?cache=shared`. A database in memory belongs to the one store that
 * opens it, whatever `cache` says.
 *
 * @throws IncorrectUsageError for a URI that asks for what a queue cannot live with, such as `mode=ro`
 */
export function parseDatabaseFilename(filename: string): DatabaseLocation {
  if (filename === '') throw new IncorrectUsageError('the database filename is empty');
  if (filename.includes('\0'))
    throw new IncorrectUsageError('the database filename contains a NUL character');
  if (filename === ':memory:') return { kind: 'memory' };
  if (!filename.startsWith('file:')) return fileLocation(filename, false);
  const [beforeFragment = ''] = filename.slice('file:'.length).split('#', 1);
  const queryStart = beforeFragment.indexOf('?');
  const parameters = new URLSearchParams(queryStart < 0 ? '' : beforeFragment.slice(queryStart + 1));
  const mode = parameters.get('mode') ?? 'rwc';
  if (mode === 'memory') return { kind: 'memory' };
  if (mode !== 'rw' && mode !== 'rwc') {
    throw new IncorrectUsageError(
      `database ${filename}: mode=${mode}: the queue needs mode=rwc, rw or memory`,
    );
  }
  for (const name of ['immutable', 'nolock', 'vfs', 'psow']) {
    if (parameters.has(name)) throw new IncorrectUsageError(`database ${filename}: ${name} is not supported`);
  }
  const path = uriPath(filename, queryStart < 0 ? beforeFragment : beforeFragment.slice(0, queryStart));
  if (path === ':memory:' || path === '') return { kind: 'memory' };
  return fileLocation(path, mode === 'rw');
}

function uriPath(filename: string, escaped: string): string {
  const authority = /^\/\/([^/]*)(.*)$/s.exec(escaped);
  if (authority && authority[1] !== '' && authority[1] !== 'localhost') {
    throw new IncorrectUsageError(`database ${filename}: a file on host ${authority[1]} cannot be opened`);
  }
  const path = authority ? (authority[2] ?? '') : escaped;
  try {
    if (process.platform === 'win32' && /^\/+[A-Za-z]:/.test(path)) return fileURLToPath(`file://${path}`);
    return decodeURIComponent(path);
  } catch (cause) {
    throw new IncorrectUsageError(`database ${filename}: not a legal URI`, { cause });
  }
}

function fileLocation(path: string, mustExist: boolean): DatabaseLocation {
  return { kind: 'file', path: realPath(resolve(path)), mustExist };
}

/** The real path of a file that need not exist yet, a link to it included. */
function realPath(path: string, linksLeft = 40): string {
  try {
    return realpathSync(path);
  } catch {
    if (linksLeft > 0 && lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) {
      return realPath(resolve(dirname(path), readlinkSync(path)), linksLeft - 1);
    }
    const folder = dirname(path);
    return existsSync(folder) ? join(realpathSync(folder), basename(path)) : path;
  }
}
