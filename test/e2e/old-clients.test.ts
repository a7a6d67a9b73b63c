import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { randomInt, seededRandom, systemRandom } from '../../src/system/random.ts';
import { OldClientLoad } from '../support/peers/old-client-load.ts';
import { startQueue } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Minutes of it: `OPSQUEUE_LOAD_SECONDS=180 npm test -- test/e2e/old-clients.test.ts`. */
const SECONDS = Number(process.env.OPSQUEUE_LOAD_SECONDS ?? 3);
const SEED = Number(process.env.OPSQUEUE_LOAD_SEED ?? randomInt(systemRandom, 2 ** 31));
const CLIENTS = 64;
/** Before that, caches fill; memory is compared after it. */
const WARM_UP_SECONDS = 30;
/** Some thirty bytes for each chunk of three minutes. */
const GROWTH_MB_MAX = 15;
/** Garbage is collected early, so that what is resident says something about what is kept. */
const NODE_OPTIONS = '--max-old-space-size=48 --max-semi-space-size=2';

const MB = 1024 * 1024;

function residentMb(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kilobytes) * 1024) / MB;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(text)?.[1]);
}

test(`${CLIENTS} clients of the original at once: no chunk is held by two, all are woken, nothing leaks`, async (t) => {
  t.diagnostic(`OPSQUEUE_LOAD_SEED=${SEED}`);
  await using folder = await temporaryFolder();
  // Ended submissions are forgotten while the load runs; what a broken connection held never fails a submission.
  const flags = [
    ...['--database-filename', `${folder.path}/q.db`, '--max-submission-age', '5 seconds'],
    ...['--max-chunk-retries', '1000000', '--max-chunk-disconnects', '0'],
  ];
  const { queue, port } = await startQueue(flags, { env: { NODE_OPTIONS } });
  await using _ = queue;
  const filesBefore = readdirSync(`/proc/${queue.pid}/fd`).length;
  const load = new OldClientLoad({ port, clients: CLIENTS, random: seededRandom(SEED), patienceMs: 30_000 });
  const samples: number[] = [];
  const sampling = setInterval(() => samples.push(residentMb(queue.pid)), 1_000);
  try {
    await load.start();
    assert.equal(await metric(port, 'consumers_connected_count'), CLIENTS);
    const figures = await load.run(AbortSignal.timeout(SECONDS * 1_000));
    t.diagnostic(JSON.stringify({ seconds: SECONDS, ...figures, slowestMs: Math.round(figures.slowestMs) }));
    assert(figures.chunksDone > 20 * SECONDS, `only ${figures.chunksDone} chunks`);
    assert(figures.connectionsBroken > 0 && figures.failures > 0);
    assert.equal(await metric(port, 'consumers_connected_count'), CLIENTS);
  } finally {
    clearInterval(sampling);
    load.close();
  }
  for (let tries = 0; (await metric(port, 'consumers_connected_count')) > 0; tries++) assert(tries < 1_000);
  const files = readdirSync(`/proc/${queue.pid}/fd`).length;
  assert(files <= filesBefore + 8, `${filesBefore} files were open, now ${files}`);
  const warm = samples.slice(WARM_UP_SECONDS);
  t.diagnostic(`resident MB, once a second: ${samples.map(Math.round).join(' ')}`);
  if (warm.length >= 60) {
    const third = Math.floor(warm.length / 3);
    const [first, last] = [median(warm.slice(0, third)), median(warm.slice(-third))];
    assert(last < first + GROWTH_MB_MAX, `${first} MB in the first third, ${last} MB in the last`);
  }
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
});
