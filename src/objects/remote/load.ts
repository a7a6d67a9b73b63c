import { pathToFileURL } from 'node:url';
import { IncorrectUsageError } from '../../model/errors.ts';
import { orNotInstalled } from '../../system/optional-package.ts';
import type { OptionReader } from '../options.ts';

/** What is to be installed for a scheme, all of it: whoever lacks one package is not told of the next one only then. */
export const INSTALL = {
  s3: '@aws-sdk/client-s3@3',
  gs: 'undici@8 google-auth-library@11',
  az: '@azure/storage-blob@12',
  http: 'undici@8',
} as const;

/** {@link orNotInstalled} for a scheme of URLs. */
export function orNotInstalledFor(scheme: string, install: string): (cause: unknown) => never {
  return orNotInstalled(`object stores of the scheme ${scheme}:`, install);
}

/**
 * Credentials that are not plain data: the option `credentials_module` names a module (a file: URL, an absolute path
 * or a package) whose default export is a function; what it returns is for each scheme to say.
 */
export async function loadCredentials(options: OptionReader): Promise<unknown> {
  const specifier = options.text('credentials_module');
  if (specifier === undefined) return undefined;
  let make: unknown;
  try {
    const url = /^(?:\/|[A-Za-z]:[\\/])/.test(specifier) ? pathToFileURL(specifier).href : specifier;
    ({ default: make } = await import(url));
  } catch (cause) {
    throw new IncorrectUsageError(
      `object store option credentials_module: cannot import ${specifier}: ${cause}`,
      {
        cause,
      },
    );
  }
  if (typeof make !== 'function') {
    throw new IncorrectUsageError(
      `object store option credentials_module: the default export of ${specifier} is not a function`,
    );
  }
  return await make();
}
