import { IncorrectUsageError } from '../model/errors.ts';
import { isError } from '../model/kinds.ts';

/**
 * What to `catch` the import of an optional package with: if it is not installed, the error says what needs it and how
 * to get it. The `catch` stands at the `import()`: there bundlers see that the package may be missing.
 *
 * @param users what needs it, in the plural
 */
export function orNotInstalled(users: string, install: string): (cause: unknown) => never {
  return (cause) => {
    const missing = isError(cause) && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!missing) throw cause;
    throw new IncorrectUsageError(
      `${users} need a package that is not installed; run: npm install ${install}`,
      { cause },
    );
  };
}
