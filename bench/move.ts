/**
 * Moving a store to another one: time, rows a second, and the most memory that the process took.
 * From SQLite to PostgreSQL, back, and from file to file: 100 000 submissions of 100 chunks, half of them in progress with a page each; one submission of
 * ten million chunks; chunks of 1 kB that the queue keeps itself.
 *
 *     npm run bench -- move [--json] [--quick] [--only NAME]
 *
 * Without test/postgres only from file to file.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openStore } from '../src/store/index.ts';
import { withoutPostgres } from '../test/support/store/postgres-server.ts';
import { benchArguments } from './support/arguments.ts';
import { type BenchPostgres, startPostgres } from './support/postgres.ts';
import { MB, type Row, report } from './support/report.ts';

const MOVE = `
  const { moveStore } = await import('opsqueue/store');
  const began = performance.now();
  const { rows } = await moveStore({ from: process.argv[1], to: process.argv[2] });
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  console.log(JSON.stringify({ ms: performance.now() - began, cpuMs: (userCPUTime + systemCPUTime) / 1000, rows, maxRSS }));`;

interface Moved {
  readonly ms: number;
  /** Of the process, its start included. */
  readonly cpuMs: number;
  readonly rows: Readonly<Record<string, number>>;
  /** In kB. */
  readonly maxRSS: number;
}

/** In a process of its own. */
function move(from: string, to: string): Moved {
  const flags = ['--conditions=opsqueue-source', '--input-type=module', '-e', MOVE, from, to];
  const { stdout, stderr, status } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Moved;
}

const { json, quick, only } = benchArguments();
const scale = quick ? 0.1 : 1;

const SHAPES: Readonly<Record<string, (database: DatabaseSync) => void>> = {
  'many submissions': (database) => {
    insertSubmissions(database, 100_000 * scale, 100);
    database.exec(`
      INSERT INTO pages SELECT id, 0, randomblob(512), 0 FROM submissions WHERE state = 0;
      INSERT INTO tries SELECT id, id % 100, 1, 0 FROM submissions WHERE id % 10 = 0;`);
  },
  'one large submission': (database) => {
    insertSubmissions(database, 2, 10_000_000 * scale);
    database.exec(`
      WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${2441 * scale})
      INSERT INTO pages SELECT 2, i, randomblob(512), 0 FROM n;`);
  },
  'chunks in the queue': (database) => {
    insertSubmissions(database, 100 * scale, 1_000);
    database.exec(`
      UPDATE submissions SET prefix = NULL;
      WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
      INSERT INTO direct_inputs SELECT id, i, randomblob(1000) FROM submissions, n;
      INSERT INTO direct_outputs SELECT * FROM direct_inputs WHERE chunk_index % 2 = 0;`);
  },
};

function insertSubmissions(database: DatabaseSync, count: number, chunks: number): void {
  database.exec(`
    WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ${count})
    INSERT INTO submissions (id, state, prefix, chunks_total, chunk_size_ops, strategic_metadata, retry_delay_ms, ended_at_ms)
      SELECT id, id % 2, hex(randomblob(16)), ${chunks}, 10, '[["customer","' || (id % 100) || '"]]', 0, CASE id % 2 WHEN 1 THEN id END
      FROM n;
    UPDATE shards SET highest_id = ${count};`);
}

async function measure(shape: string, folder: string, postgres: BenchPostgres | null): Promise<Row[]> {
  const file = (name: string) => `sqlite:${join(folder, name)}`;
  const store = await openStore(file('a'));
  await store.acquire([0], 'bench');
  await store.close();
  const database = new DatabaseSync(join(folder, 'a'));
  SHAPES[shape]!(database);
  database.close();
  const url = postgres?.storeUrl() ?? '';
  const ways =
    postgres === null
      ? []
      : [
          ['to PostgreSQL', file('a'), url],
          ['and back', url, file('b')],
        ];
  return [...ways, ['file to file', file('a'), file('c')]].map(([way = '', from = '', to = '']) => {
    const { ms, cpuMs, rows, maxRSS } = move(from, to);
    const total = Object.values(rows).reduce((sum, count) => sum + count, 0);
    return {
      store: shape,
      way,
      'its MB': statSync(join(folder, 'a')).size / MB,
      rows: total,
      s: ms / 1000,
      'CPU s': cpuMs / 1000,
      'rows/s': (1000 * total) / ms,
      'peak MB': maxRSS / 1024,
    };
  });
}

await using postgres = withoutPostgres() === false ? await startPostgres() : null;
const rows: Row[] = [];
for (const shape of Object.keys(SHAPES)) {
  if (only !== null && only !== shape) continue;
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  try {
    rows.push(...(await measure(shape, folder, postgres)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
report('Moving a store', rows, json);
