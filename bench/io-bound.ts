/**
 * Operations that wait: 50 000 calls of 20 ms, 100 at once, through the queue and in a plain loop without one.
 *
 *     npm run bench -- io-bound [--rounds N] [--only timer | http] [--quick] [--json]
 *
 * A call is a timer, or a request to an HTTP server in a process of its own. Queue, consumer and producer are a process
 * each; the plain loop runs in a process like the consumer's. The cases take turns; the medians count.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ProducerClient } from '../src/producer/index.ts';
import { benchArguments } from './support/arguments.ts';
import { median, report } from './support/report.ts';
import { startOurs } from './support/server-process.ts';

const CALL_MS = 20;
const AT_ONCE = 100;
const KINDS = ['timer', 'http'] as const;
/** null: the plain loop. */
const CHUNK_SIZES = [null, 1_000, 100, 10] as const;

interface Case {
  readonly kind: (typeof KINDS)[number];
  readonly chunkSize: number | null;
}

const { json, quick, only, rounds, folder } = benchArguments();
const calls = quick ? 10_000 : 50_000;
const cases: Case[] = KINDS.filter((kind) => only === null || only === kind).flatMap((kind) =>
  CHUNK_SIZES.map((chunkSize) => ({ kind, chunkSize })),
);

function start(program: string, ...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL(`./support/${program}.ts`, import.meta.url)), args, { stdio: 'inherit' });
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.send('stop');
  await exited;
}

async function plainSeconds(target: string): Promise<number> {
  const child = start('waiting-program', target, String(AT_ONCE), String(calls));
  const [{ seconds }] = (await once(child, 'message')) as [{ readonly seconds: number }];
  await end(child);
  return seconds;
}

async function queueSeconds(url: string, target: string, chunkSize: number): Promise<number> {
  const objects = mkdtempSync(join(folder, 'opsqueue-bench-objects-'));
  const store = pathToFileURL(objects).href;
  const consumer = start('waiting-program', target, String(AT_ONCE), url, store);
  await once(consumer, 'message');
  const producer = new ProducerClient(url, store);
  try {
    // Connections, compiled code.
    await run(producer, 1_000, chunkSize);
    const began = performance.now();
    await run(producer, calls, chunkSize);
    return (performance.now() - began) / 1_000;
  } finally {
    await producer.close();
    await end(consumer);
    rmSync(objects, { recursive: true, force: true });
  }
}

async function run(producer: ProducerClient, total: number, chunkSize: number): Promise<void> {
  let next = 0;
  for await (const result of producer.runSubmission(Array(total).keys(), { chunkSize })) {
    if (result !== next++) throw new Error(`result ${next - 1} is ${result}`);
  }
  if (next !== total) throw new Error(`${next} results of ${total}`);
}

const seconds = new Map<Case, number[]>();
const server = await startOurs();
const http = start('waiting-server', String(CALL_MS));
const [port] = (await once(http, 'message')) as [number];
try {
  for (let round = 0; round < Math.max(rounds, 1); round++) {
    for (const each of cases) {
      const target = each.kind === 'timer' ? `timer:${CALL_MS}` : `http://127.0.0.1:${port}/`;
      const took =
        each.chunkSize === null
          ? await plainSeconds(target)
          : await queueSeconds(`${server.host}:${server.port}`, target, each.chunkSize);
      seconds.set(each, [...(seconds.get(each) ?? []), took]);
    }
  }
} finally {
  await end(http);
  await server.stop();
}

const medianOf = (each: Case) => median(seconds.get(each) ?? []);
report(
  `${calls} calls of ${CALL_MS} ms, ${AT_ONCE} at once (${(calls * CALL_MS) / AT_ONCE / 1_000} s if calls took no longer)`,
  cases.map((each) => {
    const plain = cases.find(({ kind, chunkSize }) => kind === each.kind && chunkSize === null)!;
    const all = seconds.get(each) ?? [];
    return {
      call: each.kind,
      'chunk size': each.chunkSize ?? 'no queue',
      seconds: medianOf(each),
      least: Math.min(...all),
      most: Math.max(...all),
      'calls/s': calls / medianOf(each),
      'times the plain loop': medianOf(each) / medianOf(plain),
      'to reach': each.chunkSize === null || each.chunkSize < 100 ? null : 1.2,
    };
  }),
  json,
);
