import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { NodesAnswer } from '../../src/protocol/api/nodes.ts';
import { IncorrectUsageError, ListenError, StoreError, startServer } from '../../src/server/index.ts';
import { Server } from '../../src/server/server.ts';
import { checkedSettings } from '../../src/server/settings.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { withParts } from '../../src/system/parts.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { type RecordingLogger, recordingLogger } from '../support/fakes/recording-logger.ts';
import { freePort } from '../support/network/free-port.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { faultyStore } from '../support/store/faulty-store.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const HANG_AFTER_INSERT = () => {
  let commits = 0;
  return faultyStore(new MemoryStore(), (call) => (call === 'commit' && ++commits > 1 ? 'hang' : 'none'));
};

function slowToAcquire(gate: Promise<void>): Store {
  return new Proxy(new MemoryStore(), {
    get(target, name) {
      if (name === 'acquire') {
        return async (...args: Parameters<MemoryStore['acquire']>) => {
          await gate;
          return target.acquire(...args);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Its port is open, and its queue is about to be. */
function starting(): Promise<Server> {
  return Server.listen(checkedSettings({ hosts: ['127.0.0.1'], port: 0 }));
}

test('a stop within a second: held requests are answered, consumers get a close frame without a code', async () => {
  // Time stands still: whatever waited for some of it would wait for ever.
  const settings = { holdStatusPollsMs: 60_000 };
  const queue = await TestServer.start(withParts(settings, { clock: new ManualClock() }));
  const id = await queue.insert('open', 1);
  const consumer = await queue.consumer();
  await consumer.reserved();
  const socket = await queue.socket();
  socket.send(`GET /producer/submissions/${id}`);
  const progress = await queue.socket();
  progress.send(`GET /producer/submissions/${id}/chunks_done?known=0&wait_ms=60000`);
  await queue.get('/ping');
  const stopped = queue.server.stop();
  const answer = await socket.answer();
  assert.match(answer.body.toString(), /^\{"InProgress"/);
  assert.deepEqual(answer.headers.at(-2), ['connection', 'close']);
  assert.match((await progress.answer()).body.toString(), /"state":"in_progress"/);
  assert.deepEqual(await consumer.ended(), { code: 1005, reason: '' });
  await stopped;
  await queue.server.ended;
  await queue[Symbol.asyncDispose]();
});

test('the log says when it has stopped, how long that took, and what is handed out again', async () => {
  const logger = recordingLogger();
  const queue = await TestServer.start({ logger });
  await queue.insert('open', 3);
  const consumer = await queue.consumer();
  await consumer.reserved(2);
  await queue.server.stop();
  const { level, message, fields } = logger.lines.at(-1)!;
  const { tookMs, ...others } = fields as Record<string, unknown>;
  assert.deepEqual([level, message], ['info', 'stopped']);
  assert.deepEqual(others, { consumers: 1, chunksGivenBack: 2, submissionsOpen: 1 });
  assert.equal(typeof tookMs, 'number');
  await queue[Symbol.asyncDispose]();
});

test('it says so, too, when something could not be written any more', async () => {
  const logger = recordingLogger();
  const queue = await TestServer.start({ logger, store: HANG_AFTER_INSERT() });
  await queue.insert('open', 1);
  const consumer = await queue.consumer();
  const [reserved] = await consumer.reserved();
  consumer.complete(reserved!.chunk);
  await consumer.control('pong');
  await queue.server.stop();
  const last = logger.lines.at(-1);
  assert.equal(last?.level, 'warn');
  assert.match(last.message, /^stopped before all results were on disk/);
  await queue[Symbol.asyncDispose]();
});

test('once it stops everything is 503, also the upgrade of a consumer', async () => {
  const store = faultyStore(new MemoryStore(), (call) => (call === 'commit' ? 'delay' : 'none'));
  const queue = await TestServer.start({ store });
  // Half of a request keeps its connection open at the stop, and a commit that is under way lets the stop wait.
  const [plain, upgrade, node] = [await queue.socket(), await queue.socket(), await queue.socket()];
  node.write('GET /node HTTP/1.1\r\n');
  plain.write('GET /version HTTP/1.1\r\n');
  upgrade.write('GET /consumer HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n');
  const inserting = await queue.socket();
  inserting.send(
    'POST /producer/submissions',
    { 'content-type': 'application/json' },
    '{"chunk_contents":{"SeeObjectStorage":{"prefix":"late","count":1}}}',
  );
  await queue.get('/ping');
  const stopped = queue.server.stop();
  node.write('host: localhost\r\n\r\n');
  plain.write('host: localhost\r\n\r\n');
  upgrade.write('sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  for (const socket of [plain, upgrade]) {
    const answer = await socket.answer();
    assert.deepEqual([answer.status, JSON.parse(answer.body.toString())], [503, 'the queue is stopping']);
  }
  assert.match((await node.answer()).body.toString(), /"role":"stopping"/);
  await stopped;
  await queue[Symbol.asyncDispose]();
});

test('a stop does not wait for a store that does not answer, nor for peers that do not', async () => {
  const queue = await TestServer.start({ store: HANG_AFTER_INSERT() });
  const id = await queue.insert('open', 1);
  const cancelling = await queue.socket();
  cancelling.send(`POST /producer/submissions/cancel/${id}`);
  const deaf = await HttpSocket.open(queue.port);
  deaf.send('GET /consumer', {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  });
  await deaf.answer();
  const startedMs = performance.now();
  await queue.server.stop();
  assert.ok(performance.now() - startedMs < 1_000);
  await deaf.ended();
  await queue[Symbol.asyncDispose]();
});

test('a stop does not wait for the clean-up of a store that does not answer, and gives its close a time limit', async () => {
  const asked = Promise.withResolvers<void>();
  const inner = new MemoryStore();
  let graceMs: number | undefined;
  inner.close = async (given?: number) => {
    graceMs = given;
  };
  const store = faultyStore(inner, (call) => {
    if (call !== 'due') return 'none';
    asked.resolve();
    return 'hang';
  });
  const queue = await TestServer.start({ store, submissionAgeMsMax: 1 });
  await asked.promise;
  await queue.server.stop();
  assert.ok(graceMs !== undefined && graceMs < 1_000, `${graceMs} ms`);
  await queue[Symbol.asyncDispose]();
});

test('an insert that is on its way when the server stops is answered', async () => {
  const store = faultyStore(new MemoryStore(), (call) => (call === 'commit' ? 'delay' : 'none'));
  const queue = await TestServer.start({ store });
  const socket = await queue.socket();
  socket.send(
    'POST /producer/submissions',
    { 'content-type': 'application/json' },
    '{"chunk_contents":{"SeeObjectStorage":{"prefix":"late","count":1}}}',
  );
  const ping = await queue.socket();
  ping.send('GET /ping');
  await ping.answer();
  const stopped = queue.server.stop();
  assert.equal((await socket.answer()).status, 200);
  await stopped;
  await queue[Symbol.asyncDispose]();
});

test('stopping twice is fine', async () => {
  await using queue = await TestServer.start();
  await Promise.all([queue.server.stop(), queue.server.stop()]);
});

test('a server whose store is lost stops, and says why', async () => {
  const lost = new AbortController();
  const store = new Proxy(new MemoryStore(), {
    get(target, name) {
      if (name === 'lost') return lost.signal;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const queue = await TestServer.start({ store, port: await freePort() });
  const consumer = await queue.consumer();
  const reason = new StoreError('fenced', 'another server has taken over');
  lost.abort(reason);
  await assert.rejects(queue.server.ended, (error) => error === reason);
  await consumer.ended();
  await assert.rejects(HttpSocket.open(queue.port), /ECONNREFUSED/);
  await queue[Symbol.asyncDispose]();
});

test('a server that cannot start closes what it had opened', async () => {
  await using queue = await TestServer.start();
  const store = new MemoryStore();
  let isClosed = false;
  const watched = new Proxy(store, {
    get(target, name) {
      if (name === 'close') {
        return () => {
          isClosed = true;
          return target.close();
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await assert.rejects(startServer({ hosts: ['127.0.0.1'], port: queue.port, store: watched }), ListenError);
  assert.ok(isClosed);
});

test('a start that is broken off gives back what it had taken', async () => {
  const database = new MemoryDatabase();
  const open = () => new MemoryStore({ database, clock: systemClock });
  const store = open();
  const [loading, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  store.load = async function* () {
    loading.resolve();
    await gate.promise;
    yield [];
  };
  const start = new AbortController();
  const started = startServer({ hosts: ['127.0.0.1'], port: 0, store, signal: start.signal });
  started.catch(() => {});
  await loading.promise;
  const leases = open().leases!;
  const epochOf = async () => (await leases.look(null)).free.find(({ shard }) => shard === 0)?.epoch;
  assert.equal(await epochOf(), undefined);
  start.abort(new Error('enough'));
  for (let epoch: number | undefined; epoch === undefined; ) {
    const news = new Promise<void>((resolve) => leases.onNews(resolve));
    epoch = await epochOf();
    if (epoch === undefined) await news;
  }
  gate.resolve();
  await assert.rejects(started, /enough/);
});

test('a start that waits for its database ends as soon as it is to, with all that it had opened', async (t) => {
  const silent = createServer();
  const sockets: Socket[] = [];
  silent.on('connection', (socket) => sockets.push(socket.on('error', () => {}).resume()));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { port: silentPort } = silent.address() as AddressInfo;
  const started = async (place: string, isWaiting: (logger: RecordingLogger) => Promise<unknown>) => {
    const logger = recordingLogger();
    const port = await freePort();
    const start = new AbortController();
    const store = `postgres://queue:secret@${place}/queue`;
    const starting = startServer({ hosts: ['127.0.0.1'], port, store, logger, signal: start.signal });
    starting.catch(() => {});
    await isWaiting(logger);
    start.abort(new Error('enough'));
    await assert.rejects(starting, /^Error: enough$/);
    await assert.rejects(HttpSocket.open(port), /ECONNREFUSED/);
  };
  await started(`127.0.0.1:${await freePort()}`, (logger) => logger.line(/^waiting for the database$/));
  const connected = once(silent, 'connection');
  await started(`127.0.0.1:${silentPort},127.0.0.1:${silentPort}`, () => connected);
  await Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')));
});

test('a server that cannot listen leaves no new database behind, one without a database no open port', async () => {
  await using folder = await temporaryFolder();
  await using queue = await TestServer.start();
  const databaseFilename = `${folder.path}/opsqueue.db`;
  const options = { hosts: ['127.0.0.1'], port: queue.port, databaseFilename };
  await assert.rejects(startServer(options), ListenError);
  assert.deepEqual(readdirSync(folder.path), []);
  const port = await freePort();
  const missing = { hosts: ['127.0.0.1'], port, databaseFilename: `${folder.path}/missing/opsqueue.db` };
  await assert.rejects(startServer(missing), StoreError);
  await assert.rejects(HttpSocket.open(port), /ECONNREFUSED/);
});

test('while the database is opened the port is open and everything is 503', async () => {
  const server = await starting();
  const socket = await HttpSocket.open(server.addresses[0]!.port);
  socket.send('GET /ping');
  const ping = await socket.answer();
  assert.deepEqual([ping.status, ping.body.toString()], [503, 'unhealthy']);
  socket.send('GET /producer/version');
  const other = await socket.answer();
  assert.deepEqual([other.status, JSON.parse(other.body.toString())], [503, 'the queue is starting']);
  socket.send('GET /api/v1/overview');
  const problem = await socket.answer();
  assert.deepEqual(JSON.parse(problem.body.toString()), {
    status: 503,
    code: 'QUEUE_UNAVAILABLE',
    detail: 'the queue is starting',
  });
  server.waits('database db: connect ECONNREFUSED');
  socket.send('GET /api/v1/why');
  const why = (await socket.answer()).body.toString();
  assert.match(
    why,
    /"the queue is starting: database db: connect ECONNREFUSED, since \d.*Z; see to the database/,
  );
  socket.send('GET /api/v1/nodes');
  const nodes = JSON.parse((await socket.answer()).body.toString()) as NodesAnswer;
  assert.deepEqual(
    nodes.items.map(({ state, ready, reason }) => [state, ready, reason]),
    [['starting', false, 'database db: connect ECONNREFUSED']],
  );
  server.waits(null);
  socket.send('GET /api/v1/why');
  assert.match((await socket.answer()).body.toString(), /"the queue is starting"/);
  socket.close();
  await server.stop();
});

test('while the store is loaded the port is open and everything is 503', async () => {
  const gate = Promise.withResolvers<void>();
  const server = await starting();
  const opened = server.open(slowToAcquire(gate.promise));
  const socket = await HttpSocket.open(server.addresses[0]!.port);
  socket.send('GET /ping');
  const ping = await socket.answer();
  assert.deepEqual([ping.status, ping.body.toString()], [503, 'unhealthy']);
  socket.send('GET /producer/submissions/1');
  const status = await socket.answer();
  assert.deepEqual([status.status, status.headers[0]], [503, ['content-type', 'application/json']]);
  assert.equal(typeof JSON.parse(status.body.toString()), 'string');
  gate.resolve();
  await opened;
  socket.send('GET /ping');
  assert.equal((await socket.answer()).body.toString(), 'pong');
  socket.close();
  await server.stop();
});

test('the disk is full: inserts are 503, ping is unhealthy, and both recover by themselves', async () => {
  let isFull = false;
  const store = faultyStore(new MemoryStore(), (call) => (isFull && call === 'commit' ? 'full' : 'none'));
  await using queue = await TestServer.start({ store });
  const body = (prefix: string) => `{"chunk_contents":{"SeeObjectStorage":{"prefix":"${prefix}","count":1}}}`;
  isFull = true;
  const waiting = queue.post('/producer/submissions', body('waits'));
  let ping = 200;
  while (ping !== 503) ping = (await queue.get('/ping')).status;
  const refused = await queue.post('/producer/submissions', body('refused'));
  assert.equal(refused.status, 503);
  assert.equal(typeof JSON.parse(refused.body.toString()), 'string');
  isFull = false;
  assert.equal((await waiting).status, 200);
  assert.equal((await queue.get('/ping')).status, 200);
  assert.equal((await queue.post('/producer/submissions', body('taken'))).status, 200);
});

test('options that make no sense are refused by name and value', () => {
  for (const [options, says] of [
    [{ port: 65_536 }, /^port must .* got 65536$/],
    [{ port: 1.5 }, /^port must .* got 1\.5$/],
    [{ heartbeatIntervalMs: 0 }, /^heartbeatIntervalMs must .* got 0$/],
    [{ reservationExpirationMs: -1 }, /^reservationExpirationMs must .* got -1$/],
    [{ chunkRetriesMax: Number.NaN }, /^chunkRetriesMax must .* got NaN$/],
    [{ idleConnectionMs: 1_000 }, /^idleConnectionMs must .* got 1000$/],
    [{ bodyBytesMax: 0 }, /^bodyBytesMax must .* got 0$/],
    [{ bodyBytesMax: 268_435_457 }, /^bodyBytesMax must .* 268435456, got 268435457$/],
    [{ frameBytesMax: 268_435_457 }, /^frameBytesMax must .* 268435456, got 268435457$/],
    [{ connectionsMax: 0 }, /^connectionsMax must .* got 0$/],
    [{ hosts: [] }, /hosts/],
  ] as const) {
    assert.throws(
      () => checkedSettings(options),
      (error) => error instanceof IncorrectUsageError && says.test(error.message),
    );
  }
});
