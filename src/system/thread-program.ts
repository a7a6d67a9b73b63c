import { existsSync } from 'node:fs';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { IncorrectUsageError } from '../model/errors.ts';

/** Where the program of a thread is. */
export interface ThreadProgram {
  /** `import.meta.url` of the module that starts the thread; a bundle of CommonJS has none. */
  readonly base: string | undefined;
  /** That module below `src/`, without its extension. */
  readonly starter: string;
  /** The program, as seen from there, without its extension. */
  readonly file: string;
  /** The program as one text, written by the build; null in the sources. */
  readonly inlined: string | null;
}

/** The program's file, or null if there is none: a bundler has made one file of many. */
export function threadFile({ base, starter, file }: ThreadProgram): URL | null {
  if (base === undefined || !URL.canParse(base)) return null;
  const { pathname } = new URL(base);
  const extension = pathname.endsWith('.ts') ? 'ts' : 'js';
  // In a bundle the same relative path may lead to a file of somebody else's.
  if (!pathname.endsWith(`/${starter}.${extension}`)) return null;
  const url = new URL(`${file}.${extension}`, base);
  return existsSync(url) ? url : null;
}

/**
 * Starts the thread: from its file where the package is installed, from its text in a bundle.
 *
 * @throws IncorrectUsageError if there is neither
 */
export function startThread(program: ThreadProgram, options: WorkerOptions): Worker {
  const file = threadFile(program);
  if (file !== null) return new Worker(file, options);
  if (program.inlined !== null) return new Worker(program.inlined, { ...options, eval: true });
  throw new IncorrectUsageError(
    `cannot find ${program.file}, the program of a thread, from ${program.base}: bundle the built package, not its sources`,
  );
}
