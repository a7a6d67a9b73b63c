/**
 * What connections cost the queue: its resident memory with consumers that wait for chunks and HTTP connections that idle.
 *
 *     npm run bench -- queue-memory [--json] [--quick]
 *
 * One queue process; connections are opened in steps, and its resident memory is read when it has not changed for a second.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { benchArguments } from './support/arguments.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { type Row, report } from './support/report.ts';
import { type MeasuredServer, startOurs } from './support/server-process.ts';

const { json, quick } = benchArguments();
const steps = quick ? [500, 1_000] : [1_000, 2_000, 4_000, 8_000];
const AT_ONCE = 50;

const oldest = cborStrategy('Oldest');

async function waitingConsumer(server: MeasuredServer): Promise<() => void> {
  const consumer = await RawConsumer.connect(server.host, server.port);
  // Answered when there is a chunk, which is never.
  consumer.reserve(1, oldest);
  return () => consumer.close();
}

async function idleHttp(server: MeasuredServer): Promise<() => void> {
  const socket: Socket = connect(server.port, server.host);
  socket.write('GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(socket, 'data');
  return () => socket.destroy();
}

/** Resident bytes once they are still: garbage of the opening is collected when the queue is idle. */
async function settledBytes(server: MeasuredServer): Promise<number> {
  let least = server.residentBytes() ?? 0;
  for (let still = 0; still < 5; still++) {
    await delay(200);
    const now = server.residentBytes() ?? 0;
    if (Math.abs(now - least) > 256 * 1024) still = 0;
    least = now;
  }
  return least;
}

const rows: Row[] = [];
for (const [kind, open] of [
  ['waiting consumers', waitingConsumer],
  ['idle HTTP connections', idleHttp],
] as const) {
  const server = await startOurs();
  const empty = await settledBytes(server);
  const closers: (() => void)[] = [];
  for (const count of steps) {
    while (closers.length < count) {
      const batch = Array.from({ length: Math.min(AT_ONCE, count - closers.length) }, () => open(server));
      closers.push(...(await Promise.all(batch)));
    }
    const resident = await settledBytes(server);
    rows.push({
      connections: `${count} ${kind}`,
      'resident MB': resident / 1e6,
      'kB each': (resident - empty) / 1e3 / count,
    });
  }
  for (const close of closers) close();
  await server.stop();
}
report('memory of the queue by connections', rows, json);
