/**
 * Time from the start of the process to the first `pong`, resident memory and database bytes, in four states.
 *
 *     npm run bench -- queue-recover [--json] [--quick]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mutation } from '../src/store/store.ts';
import { benchArguments } from './support/arguments.ts';
import { halfDoneInRandomOrder, openSubmissions, prepareStore } from './support/prepared-store.ts';
import { MB, type Row, report } from './support/report.ts';
import { startOurs } from './support/server-process.ts';

const { json, quick } = benchArguments();
const STATES: readonly (readonly [string, () => Iterable<Mutation>])[] = [
  ['empty', () => openSubmissions(0, 0)],
  ['100 000 open submissions of 100 chunks', () => openSubmissions(quick ? 10_000 : 100_000, 100)],
  ['100 submissions of 10 million chunks waiting', () => openSubmissions(100, 10_000_000)],
  ['one of 100 million chunks, half done at random', () => halfDoneInRandomOrder(100_000_000)],
];

const rows: Row[] = [];
for (const [state, mutations] of STATES) {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  await prepareStore(folder, mutations());
  const starts: number[] = [];
  let resident = 0;
  let database = 0;
  for (let round = 0; round < 3; round++) {
    const server = await startOurs({ folder });
    starts.push(server.startMs!);
    resident = Math.max(resident, server.residentBytes()!);
    database = server.databaseBytes()!;
    await server.stop();
  }
  rows.push({
    state,
    'start to pong, ms': starts.sort((a, b) => a - b)[1]!,
    'resident MB': resident / MB,
    'database MB': database / MB,
  });
  rmSync(folder, { recursive: true });
}
report('Start and footprint', rows, json);
