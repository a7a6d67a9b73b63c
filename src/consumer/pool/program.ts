import { IncorrectUsageError } from '../../model/errors.ts';
import { programFile, type ThreadProgram } from '../../system/process/worker.ts';

const PROGRAM: ThreadProgram = {
  base: import.meta.url,
  starter: 'consumer/pool/program',
  inlined: null,
};

/**
 * The program of a pool's threads. It is a file, as the pool's own package has files for its threads, and a bundle has
 * neither.
 *
 * @throws IncorrectUsageError in a bundle
 */
export function checkPoolFile(): URL {
  const file = programFile(PROGRAM);
  if (file !== null) return file;
  throw new IncorrectUsageError(
    "a callback's module needs the package as it is installed, and this is a bundle: give a function as the callback, or leave opsqueue out of the bundle (esbuild: --external:opsqueue)",
  );
}
