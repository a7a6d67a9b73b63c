import assert from 'node:assert/strict';
import { parseStatus } from '../../../src/protocol/producer/requests.ts';
import { traceCarrierOf } from '../../../src/protocol/producer/trace-carrier.ts';
import type { ServerOptions } from '../../../src/server/index.ts';
import { SETTINGS, type Setting } from '../../../src/server/settings.ts';
import { parseDuration } from '../../../src/system/time/duration.ts';
import type { GoldenFrame, GoldenHttpMessage, GoldenMessage, GoldenSession } from '../protocol/golden.ts';
import { TestServer } from '../queues/test-server.ts';
import { assertSameAnswer, assertSameMessage, hexWithIds, type Variables, withIds } from './compare.ts';
import type { Deviation, SceneStep } from './deviation.ts';
import { type Fact, insertedIds, mentionedIds } from './facts.ts';
import { OPCODE_CLOSE, OPCODE_PONG, type PeerEvent, RecordedPeer } from './recorded-peer.ts';
import { Scene, wantedOf } from './scene.ts';

/** What surrounded a recording and cannot be told from it. */
export interface Surroundings {
  /** What happened outside of it, by the number of the message that it preceded (-1: all). */
  readonly steps?: ReadonlyMap<number, readonly SceneStep[]>;
  /** Recorded ids that were there from the beginning although only their prefixes are mentioned. */
  readonly alsoThere?: readonly bigint[];
  /** In progress at the beginning, although the first state that is told is a later one. */
  readonly inProgress?: readonly bigint[];
  readonly server?: ServerOptions;
  /** The pauses of the client had to do with the recorded server only. */
  readonly isUntimed?: boolean;
  /** The server is told to end before the message of this number. */
  readonly stopsBefore?: number;
}

export interface ReplayOptions {
  readonly facts: ReadonlyMap<bigint, Fact>;
  /** Those of this session. */
  readonly deviations: readonly Deviation[];
  readonly surroundings: Surroundings;
}

/** Longer than anything that a recording waits for. */
const PATIENCE_MS = 8_000;
/** A recorded pause of this length had something to wait for. */
const PAUSE_MS = 250;
const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/**
 * Plays the client's side of a recorded session against a queue of its own, and compares what comes back with the
 * recording, modulo ids, dates and the deliberate deviations.
 */
export class Replay {
  readonly #session: GoldenSession;
  readonly #o: ReplayOptions;
  readonly #variables: Variables = { ids: new Map(), traces: new Map() };
  readonly #peers = new Map<number, RecordedPeer>();
  readonly #requests = new Map<number, GoldenHttpMessage[]>();
  readonly #used = new Set<Deviation>();
  readonly #insertedHere: ReadonlySet<bigint>;

  constructor(session: GoldenSession, options: ReplayOptions) {
    this.#session = session;
    this.#o = options;
    this.#insertedHere = insertedIds(session);
  }

  /** @returns the deviations that were met */
  async run(): Promise<ReadonlySet<Deviation>> {
    await using queue = await TestServer.start({
      ...optionsOf(this.#session.server_flags),
      ...this.#o.surroundings.server,
    });
    const scene = new Scene(queue);
    const plan = this.#scenePlan();
    await this.#set(scene, plan.get(-1) ?? []);
    try {
      let previousMs = 0;
      let stopped: Promise<void> | null = null;
      for (const [index, message] of this.#session.messages.entries()) {
        try {
          await this.#set(scene, plan.get(index) ?? []);
          if (this.#o.surroundings.stopsBefore === index) stopped = queue.server.stop();
          await this.#play(index, message, queue.port, message.t_ms - previousMs);
        } catch (error) {
          throw new Error(`message ${index} of ${this.#session.name}: ${messageOf(error)}`, { cause: error });
        }
        previousMs = message.t_ms;
      }
      this.#checkEnds();
      await stopped;
    } finally {
      for (const peer of this.#peers.values()) peer.destroy();
    }
    return this.#used;
  }

  async #play(index: number, message: GoldenMessage, port: number, pauseMs: number): Promise<void> {
    const deviation = this.#deviationAt(index);
    if (deviation?.differs.kind === 'not sent') {
      this.#used.add(deviation);
      return;
    }
    if (message.direction === 'client to server') {
      // Where timers of the server are in play, the recorded pauses are, too.
      const isTimed =
        !this.#o.surroundings.isUntimed &&
        this.#session.server_flags.some((flag) => /heartbeat|expiration/.test(flag));
      if (isTimed && pauseMs > 100) await pause(pauseMs);
      await this.#send(message, port);
    } else {
      await this.#expect(message, deviation);
    }
  }

  async #send(message: GoldenMessage, port: number): Promise<void> {
    if (message.kind === 'tcp' && message.event.includes('opens')) {
      this.#peers.set(message.conn, await RecordedPeer.open(port));
      return;
    }
    const peer = this.#peer(message);
    switch (message.kind) {
      case 'tcp':
        if (message.event.includes('resets')) peer.reset();
        else peer.end();
        break;
      case 'request':
        this.#requests.set(message.conn, [...(this.#requests.get(message.conn) ?? []), message]);
        peer.request(this.#requestBytes(message), message.request_line?.startsWith('HEAD ') === true);
        break;
      case 'frame':
        peer.frame(frameBytes(message, hexWithIds(message.payload_hex, this.#variables)));
        break;
      case 'raw':
        peer.request(Buffer.from(message.hex, 'hex'), false);
        break;
      default:
        throw new Error(`a client sends no ${message.kind}`);
    }
  }

  #requestBytes(message: GoldenHttpMessage): Buffer {
    const bytes = Buffer.from(message.hex, 'hex');
    if (message.body_elided !== undefined) {
      const length = Number(/^[0-9]+/.exec(message.body_elided)?.[0]);
      const insert = '{"chunk_contents":{"Direct":{"contents":[]}}}';
      return Buffer.concat([bytes, Buffer.from(insert.padEnd(length))]);
    }
    // An id here has as many digits as one there. Bytes that are no text stay as they are.
    return Buffer.from(withIds(bytes.toString('latin1'), this.#variables), 'latin1');
  }

  async #expect(message: GoldenMessage, deviation: Deviation | undefined): Promise<void> {
    const peer = this.#peer(message);
    if (message.kind === 'frame' && message.opcode === 'ping') {
      await this.#expectPing(message, peer);
      return;
    }
    if (message.kind === 'response') {
      await this.#expectAnswer(message, peer, deviation);
      return;
    }
    const event = await this.#next(peer);
    if (message.kind === 'tcp') this.#checkEnd(event, deviation);
    else if (message.kind === 'frame') this.#checkFrame(event, message, deviation);
  }

  #checkEnd(event: PeerEvent, deviation: Deviation | undefined): void {
    if (deviation?.differs.kind === 'close frame') {
      assert.ok(event.kind === 'frame' && event.opcode === OPCODE_CLOSE, shown(event));
      const code = event.payload.length >= 2 ? event.payload.readUInt16BE(0) : null;
      assert.equal(code, deviation.differs.code);
      this.#used.add(deviation);
      return;
    }
    assert.ok(event.kind === 'end' || event.kind === 'reset', shown(event));
  }

  #checkFrame(event: PeerEvent, message: GoldenFrame, deviation: Deviation | undefined): void {
    assert.ok(event.kind === 'frame', shown(event));
    assert.equal(event.opcode, OPCODES[message.opcode], shown(event));
    assert.ok(event.fin);
    if (message.opcode !== 'binary') {
      assert.equal(event.payload.toString('hex'), message.payload_hex);
      return;
    }
    let recordedHex = message.payload_hex;
    if (deviation?.differs.kind === 'as message') {
      const other = this.#session.messages[deviation.differs.message];
      assert.ok(other?.kind === 'frame');
      recordedHex = other.payload_hex;
      this.#used.add(deviation);
    }
    assertSameMessage(event.payload, recordedHex, this.#variables);
  }

  async #expectAnswer(
    message: GoldenHttpMessage & { readonly conn: number },
    peer: RecordedPeer,
    deviation: Deviation | undefined,
  ): Promise<void> {
    const request = this.#requests.get(message.conn)?.shift();
    const changes = deviation?.differs.kind === 'answer' ? deviation.differs : {};
    if (deviation !== undefined) this.#used.add(deviation);
    const endMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const event = await this.#next(peer);
      assert.ok(event.kind === 'answer', shown(event));
      const isSameId = deviation?.differs.kind === 'same id';
      this.#bindInserted(request, message, event.answer.body.toString(), isSameId);
      try {
        assertSameAnswer(event.answer, message, this.#variables, changes);
        return;
      } catch (error) {
        // What consumers said just before on other connections may take a moment to be seen.
        const isStatus = request?.request_line?.startsWith('GET /producer/submissions/') === true;
        if (
          !isStatus ||
          message.body === undefined ||
          !isSettling(event.answer.body) ||
          performance.now() > endMs
        )
          throw error;
        peer.request(this.#requestBytes(request), false);
      }
    }
  }

  /** The answer to an insert tells the id that a submission of the session has here. */
  #bindInserted(
    request: GoldenHttpMessage | undefined,
    message: GoldenHttpMessage,
    body: string,
    isSameId: boolean,
  ): void {
    if (!request?.request_line?.startsWith('POST /producer/submissions HTTP')) return;
    if (!/^[0-9]+$/.test(body) || !/^[0-9]+$/.test(message.body ?? '')) return;
    const recorded = BigInt(message.body ?? '');
    const id = BigInt(body);
    const twin = [...this.#variables.ids].find(([other, here]) => here === id && other !== recorded);
    assert.equal(twin !== undefined, isSameId, `the insert was answered with the id ${id}`);
    this.#variables.ids.set(recorded, id);
    this.#variables.traces.set(
      recorded,
      traceCarrierOf((name) => request.headers.find(([other]) => other.toLowerCase() === name)?.[1]),
    );
  }

  async #expectPing(message: GoldenFrame, peer: RecordedPeer): Promise<void> {
    const event = await peer.nextPing(PATIENCE_MS);
    assert.ok(event?.kind === 'frame', 'no ping came');
    assert.equal(event.payload.toString('hex'), message.payload_hex);
  }

  /** What comes next, but for empty pongs, which only ours sends. */
  async #next(peer: RecordedPeer): Promise<PeerEvent> {
    for (;;) {
      const event = await peer.next(PATIENCE_MS);
      assert.ok(event !== null, 'nothing came');
      if (!isEmptyPong(event)) return event;
    }
  }

  /** Nothing may come that was not recorded; one ping may (the first one, if the recorded client was quicker). */
  #checkEnds(): void {
    for (const peer of this.#peers.values()) {
      const rest = peer.rest.filter(
        (event) => !isEmptyPong(event) && event.kind !== 'end' && event.kind !== 'reset',
      );
      const expected = rest.filter((event) => !(event.kind === 'frame' && event.opcode === OPCODE_CLOSE));
      assert.deepEqual(expected.map(shown), []);
      assert.ok(peer.pingsLeft <= 1, `${peer.pingsLeft} pings that were not recorded`);
    }
  }

  #peer(message: GoldenMessage): RecordedPeer {
    const peer = this.#peers.get(message.conn);
    assert.ok(peer !== undefined);
    return peer;
  }

  #deviationAt(index: number): Deviation | undefined {
    return this.#o.deviations.find(({ message }) => message === index);
  }

  async #set(scene: Scene, steps: readonly SceneStep[]): Promise<void> {
    for (const step of steps) {
      if (step.kind === 'complete') {
        const id = this.#variables.ids.get(step.recordedId);
        assert.ok(id !== undefined);
        await scene.complete(id, step.chunkIndexes);
        await scene.leave();
      } else {
        const id = await scene.insert(step.wanted);
        this.#variables.ids.set(step.wanted.record.id, id);
      }
    }
  }

  /** The steps given, and what follows from the recording itself: submissions that it mentions and does not insert. */
  #scenePlan(): ReadonlyMap<number, readonly SceneStep[]> {
    const plan = new Map<number, SceneStep[]>();
    const add = (index: number, step: SceneStep) => plan.set(index, [...(plan.get(index) ?? []), step]);
    const given = new Set<bigint>();
    for (const [index, steps] of this.#o.surroundings.steps ?? []) {
      for (const step of steps) {
        add(index, step);
        if (step.kind === 'insert') given.add(step.wanted.record.id);
      }
    }
    const missing = new Map((this.#o.surroundings.alsoThere ?? []).map((id) => [id, -1]));
    for (const [index, message] of this.#session.messages.entries()) {
      for (const id of mentionedIds(message)) {
        if (this.#insertedHere.has(id) || given.has(id) || missing.has(id)) continue;
        missing.set(id, this.#insertionIndex(index, message));
      }
    }
    for (const [id, index] of missing) {
      const fact = this.#o.facts.get(id);
      if (fact === undefined) continue;
      const wanted = wantedOf(fact);
      const isInProgress = this.#o.surroundings.inProgress?.includes(id) === true;
      add(index, { kind: 'insert', wanted: isInProgress ? { ...wanted, state: 'in_progress' } : wanted });
    }
    this.#addCompletions(add);
    // In the order of their ids, which the strategies and look-ups go by.
    plan.get(-1)?.sort((a, b) => (recordedIdOf(a) < recordedIdOf(b) ? -1 : 1));
    return plan;
  }

  /** A submission that answers a reservation after a pause was inserted in that pause. */
  #insertionIndex(index: number, message: GoldenMessage): number {
    if (message.kind !== 'frame' || message.direction !== 'server to client') return -1;
    const before = this.#session.messages
      .slice(0, index)
      .findLast(
        (other) => other.kind === 'frame' && other.opcode === 'binary' && other.conn === message.conn,
      );
    return before !== undefined && message.t_ms - before.t_ms > PAUSE_MS ? index : -1;
  }

  /** In HTTP sessions consumers are not recorded: what a session inserts and then finds completed, they completed. */
  #addCompletions(add: (index: number, step: SceneStep) => void): void {
    if (this.#session.messages.some(({ kind }) => kind === 'frame')) return;
    const done = new Set<bigint>();
    for (const [index, message] of this.#session.messages.entries()) {
      if (message.kind !== 'response' || !message.body?.startsWith('{"Completed"')) continue;
      const record = parseStatus(message.body)?.record;
      if (record === undefined || !this.#insertedHere.has(record.id) || done.has(record.id)) continue;
      done.add(record.id);
      const chunkIndexes = Array.from({ length: record.chunksTotal }, (_, i) => i);
      if (chunkIndexes.length > 0) add(index - 1, { kind: 'complete', recordedId: record.id, chunkIndexes });
    }
  }
}

function recordedIdOf(step: SceneStep): bigint {
  return step.kind === 'insert' ? step.wanted.record.id : step.recordedId;
}

function optionsOf(flags: readonly string[]): ServerOptions {
  const options: Record<string, number> = {};
  for (let i = 0; i < flags.length; i += 2) {
    const value = flags[i + 1] ?? '';
    const setting = Object.entries<Setting>(SETTINGS).find(([, { flag }]) => flag.startsWith(`${flags[i]} `));
    assert.ok(setting, `unknown flag ${flags[i]}`);
    options[setting[0]] = setting[1].kind === 'duration' ? parseDuration(value) : Number(value);
  }
  return options;
}

/** The frame as it was recorded, with this payload, masked as it was. */
function frameBytes(message: GoldenFrame, payloadHex: string): Buffer {
  const header = Buffer.from(message.header_hex, 'hex');
  const payload = Buffer.from(payloadHex, 'hex');
  if (message.masked) {
    const mask = header.subarray(-4);
    for (let i = 0; i < payload.length; i++) payload[i] = payload[i]! ^ mask[i % 4]!;
  }
  return Buffer.concat([header, payload]);
}

function isEmptyPong(event: PeerEvent): boolean {
  return event.kind === 'frame' && event.opcode === OPCODE_PONG && event.payload.length === 0;
}

function isSettling(body: Buffer): boolean {
  return body.toString().startsWith('{"InProgress":');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function shown(event: PeerEvent): string {
  if (event.kind === 'answer') return `answer ${event.answer.statusLine} ${event.answer.body.toString()}`;
  if (event.kind === 'frame') return `frame ${event.opcode} ${event.payload.toString('hex')}`;
  return event.kind;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
