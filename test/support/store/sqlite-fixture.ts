import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StoreFixture } from '../../../src/store/conformance/session.ts';
import { parseDatabaseFilename } from '../../../src/store/sqlite/file/location.ts';
import { openSqliteStore, SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { InlineDatabase } from '../fakes/inline-database.ts';

export interface SqliteFixture extends StoreFixture {
  readonly folder: string;
  readonly filename: string;
}

/**
 * A database file in a folder of its own, which `dispose` removes.
 *
 * @param where in its own thread, as in production, or on the calling one, which starts faster
 */
export async function sqliteFixture(where: 'thread' | 'inline'): Promise<SqliteFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'opsqueue-store-'));
  const filename = join(folder, 'opsqueue.db');
  let nowMs = 1_700_000_000_000;
  return {
    folder,
    filename,
    open:
      where === 'thread'
        ? () => openSqliteStore({ filename, logger: silentLogger })
        : async () => new SqliteStore(new InlineDatabase(parseDatabaseFilename(filename), nowMs++), true),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}
