import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import { HttpServer } from '../../src/net/http/server.ts';
import { MessageBacklog } from '../../src/net/websocket/message-backlog.ts';
import { WebSocketServer } from '../../src/net/websocket/server.ts';
import { EndOfTurn } from '../../src/system/event-loop/end-of-turn.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { HTTP_LIMITS } from '../support/network/http-limits.ts';
import { eventually } from '../support/time/eventually.ts';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Messages that cost a millisecond each, on a clock and an event loop of the test's own. */
class Scene {
  readonly handled: number[] = [];
  #nowMs = 0;
  #due: (() => void)[] = [];
  readonly backlog = new MessageBacklog({
    monotonicMs: () => this.#nowMs,
    soon: (run) => this.#due.push(run),
  });

  /** Each of another connection. */
  arrive(from: number, count: number): void {
    for (let i = from; i < from + count; i++) {
      if (this.backlog.mayWorkNow()) this.#work(i);
      else this.backlog.add({ workOff: () => this.#work(i) });
    }
  }

  async endTurn(): Promise<void> {
    const due = this.#due;
    this.#due = [];
    for (const run of due) run();
    await nextTurn();
  }

  get isIdle(): boolean {
    return this.#due.length === 0;
  }

  #work(message: number): boolean {
    this.handled.push(message);
    this.#nowMs++;
    return false;
  }
}

test('a turn works on messages for ten milliseconds beyond the first few; the next turns work off the rest, in order', async () => {
  const scene = new Scene();
  scene.arrive(0, 100);
  assert.equal(scene.handled.length, 41);
  await scene.endTurn();
  assert.equal(scene.handled.length, 51);
  scene.arrive(100, 5);
  assert.equal(scene.handled.length, 51, 'what comes later waits for what came before');
  for (let turns = 0; !scene.isIdle; turns++) {
    assert.ok(turns < 10);
    await scene.endTurn();
  }
  assert.deepEqual(
    scene.handled,
    Array.from({ length: 105 }, (_, i) => i),
  );
  scene.arrive(105, 10);
  assert.equal(scene.handled.length, 115, 'afterwards a message is worked on at once again');
});

test('some messages of each connection are worked on at a time, in a callback of their own', async () => {
  const heard: string[] = [];
  const due: (() => void)[] = [];
  const backlog = new MessageBacklog({ monotonicMs: () => 0, soon: (run) => due.push(run) });
  while (due.length === 0) backlog.mayWorkNow();
  const connection = (name: string, messages: number) => {
    let left = messages;
    return {
      workOff() {
        if (heard.at(-1) !== name) {
          heard.push(name);
          queueMicrotask(() => heard.push(`after ${name}`));
        }
        return --left > 0;
      },
    };
  };
  backlog.add(connection('a', 600));
  backlog.add(connection('b', 3));
  // Four reservations of 64 chunks: they are answered in one write.
  backlog.add(connection('c', 4 * 65));
  due[0]!();
  await nextTurn();
  assert.deepEqual(heard, ['a', 'after a', 'b', 'after b', 'c', 'after c', 'a', 'after a']);
});

test('a connection whose messages take long leaves the rest of them to the next turn', async () => {
  let nowMs = 0;
  const due: (() => void)[] = [];
  const backlog = new MessageBacklog({ monotonicMs: () => nowMs, soon: (run) => due.push(run) });
  while (due.length === 0) backlog.mayWorkNow();
  let worked = 0;
  backlog.add({
    workOff() {
      nowMs++;
      return ++worked < 100;
    },
  });
  for (const expected of [32, 64, 96, 100]) {
    due.shift()!();
    await nextTurn();
    assert.equal(worked, expected);
  }
});

test('a turn with few messages arms nothing', () => {
  const scene = new Scene();
  scene.arrive(0, 31);
  assert.equal(scene.handled.length, 31);
  assert.ok(scene.isIdle);
});

const running: HttpServer[] = [];
after(async () => {
  for (const server of running) await server.stop(0);
});

/** A server whose turns have no time for more than the first few messages. */
async function serve(heard: string[]): Promise<number> {
  const webSockets = new WebSocketServer({
    turn: new EndOfTurn(systemClock),
    frameBytesMax: 1_000_000,
    clock: systemClock,
    sliceMs: 0,
    date: () => 'Mon, 23 Nov 2026 20:35:04 GMT',
  });
  const server = new HttpServer(
    { hosts: ['127.0.0.1'], port: 0, clock: systemClock, ...HTTP_LIMITS },
    {
      request() {},
      isUpgrade: () => true,
      upgrade: (request, socket, head) =>
        webSockets.accept(request, socket, head, () => ({
          alive() {},
          message: (bytes) => heard.push(Buffer.from(bytes.subarray(0, 4)).readUInt32BE().toString()),
          closed: (orderly) => heard.push(orderly ? 'closed' : 'broken'),
        })),
    },
  );
  await server.listen();
  running.push(server);
  return server.addresses[0]!.port;
}

async function connected(port: number): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/consumer`);
  await new Promise((resolve) => client.once('open', resolve));
  return client;
}

function numbered(number: number, length: number): Buffer {
  const message = Buffer.alloc(length);
  message.writeUInt32BE(number);
  return message;
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i));

for (const [length, how] of [
  [8, 'in one read'],
  [4_096, 'more than is read ahead'],
] as const) {
  test(`messages that wait are heard in order, and before the end of their connection: ${how}`, async () => {
    const heard: string[] = [];
    const client = await connected(await serve(heard));
    for (let i = 0; i < 300; i++) client.send(numbered(i, length));
    client.close();
    await eventually(() => heard.at(-1) === 'closed');
    assert.deepEqual(heard, [...numbers(300), 'closed']);
  });
}

test('messages that wait are heard before a text frame ends their connection', async () => {
  const heard: string[] = [];
  const client = await connected(await serve(heard));
  for (let i = 0; i < 100; i++) client.send(numbered(i, 8));
  client.send('hello');
  await eventually(() => heard.at(-1) === 'closed');
  assert.deepEqual(heard, [...numbers(100), 'closed']);
});

test('a connection does not wait for all the messages of another', async () => {
  const heard: string[] = [];
  const port = await serve(heard);
  const busy = await connected(port);
  const other = await connected(port);
  for (let i = 0; i < 5_000; i++) busy.send(numbered(i, 8));
  other.send(numbered(1_000_000, 8));
  await eventually(() => heard.length === 5_001);
  const turnOfOther = heard.indexOf('1000000');
  assert.ok(turnOfOther < 1_000, `served after ${turnOfOther} messages of the busy one`);
  assert.deepEqual(heard.toSpliced(turnOfOther, 1), numbers(5_000));
  busy.terminate();
  other.terminate();
});
