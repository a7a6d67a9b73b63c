/**
 * Has the original opsqueue write the database fixtures in test/fixtures/reference-db: submissions in every state, and
 * what it says of each of them.
 *
 *     OPSQUEUE_REFERENCE_SERVER=/path/to/opsqueue node scripts/reference-database.ts
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import type { ChunkId } from '../src/model/ids.ts';
import { Strategy } from '../src/model/strategy.ts';
import { decodeServerMessage, encodeClientMessage } from '../src/protocol/consumer/codec.ts';
import type { ClientMessage, ReservedChunkMessage } from '../src/protocol/consumer/types.ts';

const target = fileURLToPath(new URL('../test/fixtures/reference-db/', import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return address.port;
}

async function waitFor(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const ok = await fetch(`http://127.0.0.1:${port}/ping`).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the server does not answer');
}

/** One connection that reserves and answers. */
class Worker {
  readonly #socket: WebSocket;
  readonly #waiting: ((chunks: readonly ReservedChunkMessage[]) => void)[] = [];
  #nonce = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const message = decodeServerMessage(data);
      if (message.kind === 'reserved') this.#waiting.shift()?.(message.chunks);
    });
  }

  static async connect(port: number): Promise<Worker> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/consumer`);
    const worker = new Worker(socket);
    await once(socket, 'message');
    return worker;
  }

  reserve(max: number): Promise<readonly ReservedChunkMessage[]> {
    const arrived = new Promise<readonly ReservedChunkMessage[]>((resolve) => this.#waiting.push(resolve));
    this.#send({ kind: 'reserve', nonce: this.#nonce++, max, strategy: Strategy.newest() });
    return arrived;
  }

  complete(chunk: ChunkId, outputContent: Uint8Array | null): void {
    this.#send({ kind: 'complete', nonce: this.#nonce++, chunk, outputContent });
  }

  fail(chunk: ChunkId, failure: string): void {
    this.#send({ kind: 'fail', nonce: this.#nonce++, chunk, failure });
  }

  close(): void {
    this.#socket.close();
  }

  #send(message: ClientMessage): void {
    this.#socket.send(encodeClientMessage(message));
  }
}

async function write(port: number): Promise<Record<string, unknown>> {
  const base = `http://127.0.0.1:${port}/producer/submissions`;
  const statuses: Record<string, unknown> = {};
  const insert = async (body: string): Promise<bigint> => {
    const response = await fetch(base, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      },
      body,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${body}: ${response.status} ${text}`);
    return BigInt(text);
  };
  const stored = (prefix: string, count: number, more: Record<string, unknown> = {}) =>
    insert(
      JSON.stringify({
        chunk_contents: { SeeObjectStorage: { prefix, count } },
        metadata: null,
        chunk_size: null,
        ...more,
      }),
    );
  const direct = (contents: (number[] | null)[], more: Record<string, unknown> = {}) =>
    insert(
      JSON.stringify({ chunk_contents: { Direct: { contents } }, metadata: null, chunk_size: 5, ...more }),
    );
  const status = async (id: bigint) => (await fetch(`${base}/${id}`)).text();
  const until = async (id: bigint, pattern: RegExp) => {
    for (let tries = 0; tries < 100; tries++) {
      if (pattern.test(await status(id))) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`submission ${id} stays ${await status(id)}`);
  };
  const keep = (name: string, id: bigint) => {
    statuses[name] = String(id);
  };

  // The newest submission is always served first, so each one is worked on right after its insert.
  const worker = await Worker.connect(port);

  const progress = await stored('0190a1b2-c3d4-7000-8000-000000000001', 12, {
    metadata: [0, 255, 7],
    chunk_size: 1000,
    strategic_metadata: { company_id: 42, schlüssel: -1 },
  });
  keep('in progress', progress);
  const first = await worker.reserve(12);
  for (const i of [0, 3, 11]) worker.complete(first[i]!.chunk, null);
  worker.fail(first[5]!.chunk, 'once');
  worker.fail(first[6]!.chunk, 'once');
  await until(progress, /"chunks_done":3/);

  const directOpen = await direct([[1, 2, 3], null, [], [255]]);
  keep('direct, in progress', directOpen);
  const four = await worker.reserve(4);
  worker.complete(four[0]!.chunk, new Uint8Array([9, 8]));
  worker.complete(four[1]!.chunk, null);
  await until(directOpen, /"chunks_done":2/);

  const completed = await stored('0190a1b2-c3d4-7000-8000-000000000002', 3, {
    metadata: [1],
    strategic_metadata: { company_id: 7 },
  });
  keep('completed', completed);
  for (const { chunk } of await worker.reserve(3)) worker.complete(chunk, null);
  await until(completed, /Completed/);

  const directDone = await direct([[1], [2], null]);
  keep('direct, completed', directDone);
  for (const { chunk } of await worker.reserve(3)) {
    worker.complete(chunk, chunk.chunkIndex === 1 ? null : new Uint8Array([chunk.chunkIndex, 5]));
  }
  await until(directDone, /Completed/);

  for (const [name, insertIt] of [
    ['failed', () => stored('0190a1b2-c3d4-7000-8000-000000000003', 4, { strategic_metadata: { a: 1 } })],
    ['direct, failed', () => direct([[1], [2, 2], [3], [4]])],
  ] as const) {
    const id = await insertIt();
    keep(name, id);
    const chunks = await worker.reserve(4);
    worker.complete(chunks[0]!.chunk, new Uint8Array([1]));
    await until(id, /"chunks_done":1/);
    worker.fail(chunks[1]!.chunk, 'first try');
    // Nothing tells when the failure has been taken in.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const again = await worker.reserve(1);
    worker.fail(again[0]!.chunk, 'Traceback (most recent call last):\n  "ü"\nValueError: 7');
    await until(id, /Failed/);
    // What it held of it is of no use any more.
    for (const { chunk } of chunks.slice(2)) worker.fail(chunk, 'Requester disappeared');
  }

  for (const [name, insertIt] of [
    [
      'cancelled',
      () =>
        stored('0190a1b2-c3d4-7000-8000-000000000004', 5, {
          metadata: [3],
          strategic_metadata: { b: 2 },
        }),
    ],
    ['direct, cancelled', () => direct([[1], [2], [3]])],
  ] as const) {
    const id = await insertIt();
    keep(name, id);
    const chunks = await worker.reserve(2);
    worker.complete(chunks[0]!.chunk, new Uint8Array([6]));
    await until(id, /"chunks_done":1/);
    await fetch(`${base}/cancel/${id}`, { method: 'POST' });
    await until(id, /Cancelled/);
    worker.fail(chunks[1]!.chunk, 'Requester disappeared');
  }

  keep('no chunks', await stored('0190a1b2-c3d4-7000-8000-000000000005', 0));
  keep('no direct chunks', await direct([]));
  const again = await stored('0190a1b2-c3d4-7000-8000-000000000006', 1);
  for (const { chunk } of await worker.reserve(1)) worker.complete(chunk, null);
  await until(again, /Completed/);
  keep('equal prefix 1', again);
  keep('equal prefix 2', await stored('0190a1b2-c3d4-7000-8000-000000000006', 2));
  keep('equal prefix 3', await stored('0190a1b2-c3d4-7000-8000-000000000006', 3));
  keep('odd prefix 1', await stored('../evil', 1));
  keep('odd prefix 2', await stored('', 1));
  keep('odd prefix 3', await stored('a b/ü', 1, { chunk_size: 0 }));
  keep('odd chunk size', await stored('0190a1b2-c3d4-7000-8000-000000000007', 1, { chunk_size: -3 }));
  keep(
    'extreme metadata',
    await insert(
      '{"chunk_contents":{"SeeObjectStorage":{"prefix":"0190a1b2-c3d4-7000-8000-000000000008","count":2}},"metadata":[],' +
        '"strategic_metadata":{"max":9223372036854775807,"min":-9223372036854775808,"__proto__":0,"10":1,"2":2},"chunk_size":9007199254740993}',
    ),
  );
  worker.close();
  const answers: Record<string, string> = {};
  for (const [name, id] of Object.entries(statuses)) answers[name] = await status(BigInt(String(id)));
  return answers;
}

async function main(): Promise<void> {
  const command = process.env.OPSQUEUE_REFERENCE_SERVER;
  if (!command) throw new Error('set OPSQUEUE_REFERENCE_SERVER to the command of the original server');
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-reference-'));
  const filename = join(folder, 'opsqueue.db');
  const port = await freePort();
  const server = spawn(
    command,
    ['--port', String(port), '--database-filename', filename, '--max-chunk-retries', '2'],
    {
      stdio: 'ignore',
    },
  );
  const ended = once(server, 'exit');
  try {
    await waitFor(port);
    const answers = await write(port);
    server.kill('SIGINT');
    await ended;
    const database = new DatabaseSync(filename);
    database.exec(`VACUUM INTO '${join(folder, 'small.db')}'`);
    database.close();
    const small = new DatabaseSync(join(folder, 'small.db'));
    const bytes = small.prepare('PRAGMA page_count').get();
    small.close();
    copyFileSync(join(folder, 'small.db'), join(target, 'all-states.db'));
    writeFileSync(join(target, 'all-states.json'), `${JSON.stringify(answers, null, 2)}\n`);
    console.log(`${Object.keys(answers).length} submissions, ${JSON.stringify(bytes)}`);
  } finally {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

await main();
