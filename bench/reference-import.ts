/**
 * Taking over a database of the original opsqueue: from the start of the process to the first `pong`, and the most
 * memory it took. Submissions of 10 000 chunks, each with strategic metadata; half of the chunks are done, a tenth of
 * the others have failed once.
 *
 *     npm run bench -- reference-import [--json] [--quick]
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyReferenceDatabase, growReferenceDatabase } from '../test/support/store/reference-database.ts';
import { benchArguments } from './support/arguments.ts';
import { MB, type Row, report } from './support/report.ts';
import { startOurs } from './support/server-process.ts';

const CHUNKS_EACH = 10_000;

const { json, quick } = benchArguments();

/** Direct submissions have the inputs of their chunks in the database. */
const GROWTHS: readonly (readonly [string, chunks: number, inputBytes?: number])[] = [
  ['a few submissions', 0],
  ['a million chunks', 1_000_000],
  ['a million chunks with inputs of 100 bytes', 1_000_000, 100],
  ...(quick ? [] : ([['ten million chunks', 10_000_000]] as const)),
];

const rows: Row[] = [];
for (const [name, chunks, inputBytes] of GROWTHS) {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  const database = join(folder, 'opsqueue.db');
  copyReferenceDatabase(database);
  if (chunks > 0) {
    growReferenceDatabase(database, {
      firstId: 1_800_000_000_000n << 22n,
      submissions: chunks / CHUNKS_EACH,
      chunksEach: CHUNKS_EACH,
      doneEvery: 2,
      ...(inputBytes === undefined ? {} : { inputBytes }),
    });
  }
  const bytes = statSync(database).size;
  const first = await startOurs({ folder });
  const row: Row = {
    database: name,
    'its MB': bytes / MB,
    'first start to pong, ms': first.startMs,
    'peak MB': (first.peakResidentBytes() ?? 0) / MB,
  };
  await first.stop();
  const next = await startOurs({ folder });
  rows.push({
    ...row,
    'next start to pong, ms': next.startMs,
    'its peak MB': (next.peakResidentBytes() ?? 0) / MB,
  });
  await next.stop();
  rmSync(folder, { recursive: true });
}
report('Taking over a database of the original', rows, json);
