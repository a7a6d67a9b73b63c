import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../errors.ts';
import { Statement } from '../tables/statement.ts';

/** The version of the original opsqueue whose databases are taken over, and the migrations that it has run on them. */
export const REFERENCE_VERSION = '0.40.1';
const MIGRATIONS: readonly bigint[] = [
  20240704100242n,
  20240704100449n,
  20241104104445n,
  20241117104740n,
  20241122175706n,
  20250104155558n,
  20250416081453n,
  20250803174028n,
  20260225164600n,
  20260429173300n,
  20260710113337n,
  20260717143000n,
  20260803133844n,
];

/**
 * Only databases of the schema that was tried are imported.
 *
 * @throws StoreError `unusable` for an older or newer one, and for one whose last migration failed
 */
export function assertKnownReference(database: DatabaseSync, path: string): void {
  const found = new Statement<readonly [version: bigint, success: bigint]>(
    database,
    'SELECT version, success FROM _sqlx_migrations ORDER BY version',
  ).all();
  const refuse = (reason: string) =>
    new StoreError('unusable', `database ${path}: ${reason}; the file is left as it is`);
  if (found.some(([, success]) => success !== 1n)) {
    throw refuse('a migration of the original opsqueue failed on it');
  }
  const versions = found.map(([version]) => version);
  const unknown = versions.find((version) => !MIGRATIONS.includes(version));
  if (unknown !== undefined) {
    throw refuse(
      `it was written by another version of the original opsqueue than ${REFERENCE_VERSION}, the only one whose ` +
        `databases can be taken over, or by another program (unknown migration ${unknown})`,
    );
  }
  if (versions.length < MIGRATIONS.length) {
    throw refuse(
      `it was written by an older version of the original opsqueue: start version ${REFERENCE_VERSION} of it on the ` +
        'file once, then it can be taken over',
    );
  }
}
