import { orNotInstalled } from '../../system/optional-package.ts';

/** The package `pg`, which is installed only where it is needed. */
export async function loadDriver() {
  const { default: pg } = await import('pg').catch(orNotInstalled('stores of the scheme postgres:', 'pg@8'));
  return pg;
}

export type Driver = Awaited<ReturnType<typeof loadDriver>>;
