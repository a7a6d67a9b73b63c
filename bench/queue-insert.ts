/**
 * How long an insert takes, by the number of chunks, and how many small ones fit in a second.
 *
 *     npm run bench -- queue-insert [--url HOST:PORT] [--json] [--quick]
 *
 * Without --url: our server in a process of its own, beside a bare fsync of 4 kB on the same disk.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchArguments } from './support/arguments.ts';
import { inParallel, RawProducer } from './support/raw-producer.ts';
import { MB, median, percentile, type Row, report } from './support/report.ts';
import { type MeasuredServer, runningServer, startOurs } from './support/server-process.ts';

const SIZES = [1, 1_000, 100_000, 1_000_000, 10_000_000];
/** The reference needs 80 s for the largest: not for servers that are only compared with. */
const SIZE_MAX_ELSEWHERE = 100_000;

function bareFsyncMs(times: number): number {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-fsync-'));
  const file = openSync(join(folder, 'file'), 'w');
  const bytes = new Uint8Array(4096).fill(7);
  const taken: number[] = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    writeSync(file, bytes);
    fsyncSync(file);
    taken.push(performance.now() - began);
  }
  closeSync(file);
  rmSync(folder, { recursive: true });
  return median(taken);
}

async function bySize(server: MeasuredServer, rounds: number, sizes: readonly number[]): Promise<Row[]> {
  const producer = await RawProducer.connect(server.host, server.port);
  const taken = new Map<number, number[]>(sizes.map((size) => [size, []]));
  // Interleaved, so that what else the machine does hits all sizes alike.
  for (let round = 0; round < rounds; round++) {
    for (const size of sizes) {
      const began = performance.now();
      await producer.insert(randomUUID(), size);
      taken.get(size)!.push(performance.now() - began);
    }
  }
  producer.close();
  const first = median(taken.get(sizes[0]!)!);
  return sizes.map((size) => {
    const times = taken.get(size)!.sort((a, b) => a - b);
    return {
      server: server.name,
      chunks: size.toLocaleString('en-US').replaceAll(',', ' '),
      'p50 ms': median(times),
      'p99 ms': percentile(times, 0.99),
      'of the smallest': median(times) / first,
      'resident MB': residentMb(server),
    };
  });
}

function residentMb(server: MeasuredServer): number | null {
  const bytes = server.residentBytes();
  return bytes === null ? null : bytes / MB;
}

async function manySmall(server: MeasuredServer, count: number): Promise<Row> {
  const producers = await Promise.all(
    Array.from({ length: 16 }, () => RawProducer.connect(server.host, server.port)),
  );
  const began = performance.now();
  await inParallel(producers, count, (producer) => producer.insert(randomUUID(), 10));
  const seconds = (performance.now() - began) / 1000;
  for (const producer of producers) producer.close();
  return {
    server: server.name,
    submissions: count,
    'in parallel': 16,
    seconds,
    'inserts/s': count / seconds,
  };
}

const { json, quick, urls } = benchArguments();
const sizeRows: Row[] = [];
const smallRows: Row[] = [];
for (const url of urls) {
  const server = runningServer(url);
  const sizes = SIZES.filter((size) => size <= SIZE_MAX_ELSEWHERE);
  sizeRows.push(...(await bySize(server, 5, sizes)));
  smallRows.push(await manySmall(server, 1_000));
}
if (urls.length === 0) {
  const server = await startOurs();
  await bySize(server, 20, SIZES.slice(0, 1));
  sizeRows.push({ server: 'bare fsync, 4 kB', chunks: '-', 'p50 ms': bareFsyncMs(quick ? 50 : 300) });
  sizeRows.push(...(await bySize(server, quick ? 20 : 200, SIZES)));
  sizeRows.push({ server: 'bare fsync, 4 kB', chunks: '-', 'p50 ms': bareFsyncMs(quick ? 50 : 300) });
  for (let round = 0; round < 3; round++) smallRows.push(await manySmall(server, quick ? 2_000 : 10_000));
  await server.stop();
}
report('One insert, by the number of chunks', sizeRows, json);
report('Small submissions of 10 chunks, each acknowledged after its commit', smallRows, json);
