/**
 * What decisions in the middle of the work cost: chunks drained per second while much is paused, timed or limited, against none.
 *
 *     npm run bench -- controls [--json] [--quick] [--rounds N] [--only WORD]
 *
 * 10 000 submissions of a thousand customers are drained by 8 connections with 4 reservations of 64 chunks each. Beside
 * them stand a thousand submissions of a thousand other customers, who are paused one by one: in the case without
 * controls there are none. In turns, a server for each; medians of the rounds (default 3).
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchArguments } from './support/arguments.ts';
import { drain } from './support/drain.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { inParallel, RawProducer } from './support/raw-producer.ts';
import { median, type Row, report } from './support/report.ts';
import { startOurs } from './support/server-process.ts';

const { json, quick, rounds, only } = benchArguments();
const SUBMISSIONS = 10_000;
const CUSTOMERS = 1_000;
const PAUSED = 1_000;
const CHUNKS = quick ? 20 : 100;
const CONNECTIONS = 8;
const RESERVATIONS = 4;
const HOUR_MS = 3_600_000;

interface Case {
  readonly name: string;
  readonly strategy: string;
  readonly isPaused?: true;
  readonly isTimed?: true;
}

/** Each strategy first without controls. */
const CASES: readonly Case[] = [
  { name: 'no controls', strategy: 'Oldest' },
  { name: '1 000 pairs paused', strategy: 'Oldest', isPaused: true },
  { name: 'a deadline and a start on each submission', strategy: 'Oldest', isTimed: true },
  { name: 'no controls', strategy: 'customer/Oldest' },
  { name: '1 000 pairs paused', strategy: 'customer/Oldest', isPaused: true },
  {
    name: '1 000 pairs paused, at most 64 of a customer',
    strategy: 'customer<64/customer/Oldest',
    isPaused: true,
  },
].filter(({ name, strategy }) => only === null || `${name}, ${strategy}`.includes(only)) as Case[];

/** Chunks per second, and pauses. */
interface Figures {
  readonly rate: number[];
  readonly pauses: number[];
}

async function act(producer: RawProducer, verb: string, body: object): Promise<void> {
  const { status, body: text } = await producer.request(
    'POST',
    `/api/v1/actions/${verb}`,
    JSON.stringify(body),
  );
  if (status !== 200) throw new Error(`${verb}: ${status} ${text}`);
}

async function measure({ strategy, isPaused, isTimed }: Case, figures: Figures): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  const server = await startOurs({ folder });
  const { host, port } = server;
  const producers = await Promise.all(Array.from({ length: 16 }, () => RawProducer.connect(host, port)));
  const insert = (count: number, first: number) =>
    inParallel(producers, count, (producer, i) =>
      producer.insert(randomUUID(), CHUNKS, { customer: first + (i % CUSTOMERS) }),
    );
  if (isPaused) {
    await insert(PAUSED, CUSTOMERS);
    const began = performance.now();
    await inParallel(producers, PAUSED, (producer, i) =>
      act(producer, 'pause', { filter: { metadata: { customer: String(CUSTOMERS + i) } } }),
    );
    figures.pauses.push(PAUSED / ((performance.now() - began) / 1000));
  }
  await insert(SUBMISSIONS, 0);
  if (isTimed) {
    const [deadline, start_after] = [HOUR_MS, -HOUR_MS].map((ms) => new Date(Date.now() + ms).toISOString());
    await act(producers[0]!, 'set', { filter: {}, deadline, start_after });
  }
  const consumers: RawConsumer[] = [];
  for (let i = 0; i < CONNECTIONS; i++) consumers.push(await RawConsumer.connect(host, port));
  figures.rate.push(
    await drain(consumers, {
      strategy: cborStrategy(strategy),
      chunks: SUBMISSIONS * CHUNKS,
      reservations: RESERVATIONS,
    }),
  );
  for (const each of [...consumers, ...producers]) each.close();
  await server.stop();
  rmSync(folder, { recursive: true });
}

const all = CASES.map(() => ({ rate: [], pauses: [] }) as Figures);
for (let round = 0; round < Math.max(rounds, quick ? 1 : 3); round++) {
  for (const [i, each] of CASES.entries()) await measure(each, all[i]!);
}
const rows: Row[] = CASES.map(({ name, strategy }, i) => {
  const { rate, pauses } = all[i]!;
  return {
    controls: name,
    strategy,
    'chunks/s': median(rate),
    'pauses/s': pauses.length === 0 ? '' : median(pauses),
  };
});
report('10 000 submissions drained', rows, json);
