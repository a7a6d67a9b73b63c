import assert from 'node:assert/strict';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import type { Control } from '../../src/model/control.ts';
import type { RetryPolicy } from '../../src/model/retry.ts';
import { Strategy } from '../../src/model/strategy.ts';
import type { FailureMode } from '../../src/model/submission.ts';
import type { ReservationRequest } from '../../src/scheduler/types.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import {
  type ModelConsumer,
  type ModelControl,
  type ModelRequest,
  NaiveModel,
  UNTOUCHED,
} from './naive-model.ts';
import { type NamedConsumer, nameOf, PAUSED, recordedRandom, Scene } from './scheduler-scene.ts';

const LIMITS = {
  reservationExpirationMs: 50,
  chunkRetriesMax: 3,
  chunkDisconnectsMax: 3,
  disconnectDelayMs: 20,
  disconnectFadesAfterMs: 100,
  anotherFirstMs: 70,
  sickAfterFailures: 2,
  sickPauseMs: 25,
};
export const CHUNKS_MAX = 5;

interface ChunkOf {
  /** Which of the submissions so far, and sometimes an unknown one. */
  readonly submission: number;
  readonly index: number;
}

/** What a verb leaves behind; times from now on. */
interface ControlStep {
  readonly isPaused: boolean;
  readonly startInMs: number | null;
  readonly deadlineInMs: number | null;
  readonly meta: Record<string, number> | null;
}

/** A call, and with which arguments; numbers pick from what there is. */
export type Step =
  | {
      readonly kind: 'insert';
      readonly chunksTotal: number;
      /** null: it is new; else what was done before a restart. */
      readonly done: readonly number[] | null;
      readonly meta: Record<string, number>;
      /** Those that had failed once, if there was a restart. */
      readonly failed: readonly number[];
      readonly retryDelayMs: number;
      readonly retry: RetryPolicy | null;
      readonly failureMode: FailureMode;
      /** Those that were set aside, if there was a restart. */
      readonly setAside: readonly number[];
      readonly id: 'next' | 'far' | 'lower';
      readonly control: ControlStep | null;
    }
  | { readonly kind: 'reserve'; readonly who: number; readonly max: number; readonly strategy: number }
  | { readonly kind: 'complete'; readonly who: number | null; readonly chunk: ChunkOf }
  | { readonly kind: 'completeHeld'; readonly who: number }
  | {
      readonly kind: 'fail';
      readonly who: number;
      readonly chunk: ChunkOf;
      readonly retryable: boolean;
      readonly delayMs: number;
    }
  | { readonly kind: 'release'; readonly who: number; readonly chunk: ChunkOf }
  | { readonly kind: 'extend'; readonly who: number; readonly chunk: ChunkOf }
  | { readonly kind: 'extendHeld'; readonly who: number }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'connect'; readonly concurrency: number; readonly silentOnExpiry: boolean }
  | { readonly kind: 'disconnect'; readonly who: number; readonly manner: 'orderly' | 'broken' }
  | { readonly kind: 'cancelReserve'; readonly which: number }
  | { readonly kind: 'cancel'; readonly submission: number }
  | { readonly kind: 'retry'; readonly submission: number }
  | { readonly kind: 'forget' }
  | { readonly kind: 'hold'; readonly held: boolean }
  | { readonly kind: 'pause'; readonly isPaused: boolean }
  | { readonly kind: 'control'; readonly submission: number; readonly control: ControlStep }
  | { readonly kind: 'find'; readonly meta: Record<string, number>; readonly limit: number };

type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

interface Both {
  readonly model: ModelConsumer;
  readonly handle: NamedConsumer;
}

/** The scheduler and the naive model, side by side: every call goes to both, and all that can be seen is compared. */
export class ModelPair {
  readonly scene: Scene;
  readonly model = new NaiveModel(LIMITS);
  readonly #random;
  readonly #strategies: Strategy[];
  readonly #consumers: Both[] = [];
  readonly #requests = new Map<ReservationRequest, ModelRequest>();
  /** In the order of insertion, ended ones included. */
  readonly #ids: bigint[] = [];
  #named = 0;

  /** `strategies`: those that consumers use. */
  constructor(seed: number, plansMax: number, strategies: readonly Strategy[]) {
    this.#strategies = [...strategies];
    this.#random = recordedRandom(seed);
    this.scene = new Scene({ ...LIMITS, random: this.#random, plansMax });
    this.#connect({ kind: 'connect', concurrency: 1, silentOnExpiry: false });
    this.#connect({ kind: 'connect', concurrency: 2, silentOnExpiry: true });
  }

  run(step: Step): void {
    this.#random.draws.length = 0;
    this.#call(step);
    this.#compareAnswers();
    assert.deepEqual(this.scene.takeTold().sort(), this.model.told.sort());
    this.model.told = [];
    assert.deepEqual({ ...this.scene.scheduler.counts }, this.model.counts());
    assert.equal(this.scene.scheduler.nextDeadlineMs(), this.model.nextDeadlineMs(this.scene.nowMs));
  }

  /** Lets patient consumers work until nothing is left. */
  driveToTheEnd(): void {
    this.run({ kind: 'hold', held: false });
    this.run({ kind: 'pause', isPaused: false });
    const control = { isPaused: false, startInMs: null, deadlineInMs: null, meta: null };
    for (const submission of this.#ids.keys()) this.run({ kind: 'control', submission, control });
    this.run({ kind: 'connect', concurrency: 1, silentOnExpiry: true });
    const worker = this.#consumers.length - 1;
    const random = this.#strategies.push(Strategy.random()) - 1;
    for (let rounds = 0; this.model.counts().submissionsOpen > 0; rounds++) {
      assert.ok(rounds < 1_000, 'it comes to an end');
      this.run({ kind: 'reserve', who: worker, max: 3, strategy: random });
      for (let who = 0; who <= worker; who++) {
        for (let i = 0; i < CHUNKS_MAX; i++) this.run({ kind: 'completeHeld', who });
      }
      this.run({ kind: 'advance', ms: 10 });
    }
    // The pause of a sick consumer may last a minute.
    this.run({ kind: 'advance', ms: 60_000 });
    assert.equal(this.scene.scheduler.counts.chunksInBacklog, 0);
    assert.equal(this.scene.scheduler.nextDeadlineMs(), null);
  }

  #call(step: Step): void {
    const { scheduler } = this.scene;
    if (step.kind === 'insert') this.#insert(step);
    else if (step.kind === 'reserve') this.#reserve(step);
    else if (step.kind === 'complete') this.#complete(step);
    else if (step.kind === 'completeHeld') this.#completeHeld(step);
    else if (step.kind === 'fail') this.#fail(step);
    else if (step.kind === 'release') this.#release(step);
    else if (step.kind === 'extend') this.#extend(step);
    else if (step.kind === 'extendHeld') this.#extendHeld(step);
    else if (step.kind === 'advance') this.#advance(step);
    else if (step.kind === 'connect') this.#connect(step);
    else if (step.kind === 'disconnect') this.#disconnect(step);
    else if (step.kind === 'cancelReserve') this.#cancelReserve(step);
    else if (step.kind === 'cancel') {
      const id = this.#id(step.submission);
      assert.equal(scheduler.cancel(id, this.scene.nowMs), this.model.cancel(id));
    } else if (step.kind === 'retry') {
      const id = this.#id(step.submission);
      assert.equal(scheduler.retry(id, this.scene.nowMs), this.model.retry(id));
    } else if (step.kind === 'forget') this.#forget();
    else if (step.kind === 'hold') {
      scheduler.holdHandOut(step.held, this.scene.nowMs);
      this.model.isHeld = step.held;
    } else if (step.kind === 'pause') {
      scheduler.pause(step.isPaused, this.scene.nowMs);
      this.model.isPaused = step.isPaused;
    } else if (step.kind === 'control') {
      const id = this.#id(step.submission);
      const [ours, models] = this.#controls(step.control);
      assert.equal(this.scene.control(id, ours), this.model.control(id, models, this.scene.nowMs));
    } else {
      const pairs = pairsOf(step.meta);
      assert.deepEqual(scheduler.find(pairs, step.limit), this.model.find(pairs, step.limit));
    }
  }

  #insert(step: StepOf<'insert'>): void {
    let highest = 0n;
    for (const id of this.#ids) if (id > highest) highest = id;
    // Ids differ in their lower half, in their upper half, or in both.
    const id = step.id === 'lower' ? highest - 1n : highest + (step.id === 'far' ? 1n << 33n : 2n);
    if (id <= 0n || this.#ids.includes(id)) return;
    const { chunksTotal, retryDelayMs, retry, failureMode, meta } = step;
    const done = new ChunkSet(chunksTotal);
    for (const index of step.done ?? []) if (index < chunksTotal) done.add(index);
    const doneBefore = [...done];
    const isRestart = step.done !== null;
    const setAside = isRestart && failureMode === 'collect' ? step.setAside : [];
    const failedChunks = new ChunkSet(chunksTotal);
    for (const index of setAside) if (index < chunksTotal && !done.has(index)) failedChunks.add(index);
    const failed = isRestart ? step.failed.filter((index) => !setAside.includes(index)) : [];
    const tries = new Map(failed.map((index) => [index, { retries: 1, disconnects: 0 }]));
    const progress = isRestart ? { done, tries, failed: failedChunks } : undefined;
    const fields = { chunksTotal, retryDelayMs, retry, failureMode, chunkSizeOps: 3 };
    const record = submissionRecord({ ...fields, id, strategicMetadata: pairsOf(meta) });
    const [ours, models] = step.control === null ? [undefined, UNTOUCHED] : this.#controls(step.control);
    this.scene.insert(id, { ...fields, meta }, progress, ours);
    this.#ids.push(id);
    const before = { done: doneBefore, failed, setAside };
    this.model.insert(record, before, this.scene.nowMs, this.#random.draws, models);
  }

  /** As the scheduler takes it, and as the model does. */
  #controls({ isPaused, startInMs, deadlineInMs, meta }: ControlStep): [Partial<Control>, ModelControl] {
    const { nowMs } = this.scene;
    const startMs = startInMs === null ? null : nowMs + startInMs;
    const deadlineMs = deadlineInMs === null ? null : nowMs + deadlineInMs;
    const strategicMetadata = meta === null ? null : pairsOf(meta);
    const pauses = isPaused ? PAUSED.pauses : [];
    return [
      { pauses, startAfterMs: startMs, deadlineMs, strategicMetadata },
      { isPaused, startMs, deadlineMs, meta: strategicMetadata },
    ];
  }

  #reserve({ who, max, strategy: which }: StepOf<'reserve'>): void {
    const strategy = this.#strategies[which % this.#strategies.length]!;
    const by = this.#who(who);
    const nonce = this.#requests.size;
    const asked: ModelRequest = { consumer: by.model, nonce, max, strategy };
    this.model.waiting.push(asked);
    by.model.hasAsked = true;
    const request = { nonce, max, strategy };
    this.#requests.set(request, asked);
    this.scene.scheduler.reserve(by.handle, request, this.scene.nowMs);
  }

  #complete({ who, chunk }: StepOf<'complete'>): void {
    const id = this.#id(chunk.submission);
    const by = who === null ? null : this.#who(who);
    const isAccepted = this.scene.scheduler.complete(by?.handle ?? null, id, chunk.index, this.scene.nowMs);
    assert.equal(isAccepted, this.model.complete(by?.model ?? null, id, chunk.index));
  }

  #completeHeld({ who }: StepOf<'completeHeld'>): void {
    const by = this.#who(who);
    const held = this.model.held().find((chunk) => chunk.holder === by.model);
    if (held === undefined) return;
    const { id } = held.submission.record;
    assert.equal(this.scene.scheduler.complete(by.handle, id, held.index, this.scene.nowMs), true);
    assert.equal(this.model.complete(by.model, id, held.index), true);
  }

  #fail({ who, chunk, retryable, delayMs }: StepOf<'fail'>): void {
    const by = this.#who(who);
    const id = this.#id(chunk.submission);
    const failure = { text: 'no', retryable, delayMs };
    const { nowMs } = this.scene;
    const outcome = this.scene.scheduler.fail(by.handle, id, chunk.index, failure, nowMs);
    assert.equal(outcome, this.model.fail(by.model, id, chunk.index, failure, nowMs, this.#random.draws));
  }

  #release({ who, chunk }: StepOf<'release'>): void {
    const by = this.#who(who);
    const id = this.#id(chunk.submission);
    const isReleased = this.scene.scheduler.release(by.handle, id, chunk.index, this.scene.nowMs);
    assert.equal(isReleased, this.model.release(by.model, id, chunk.index));
  }

  #extend({ who, chunk }: StepOf<'extend'>): void {
    const by = this.#who(who);
    const id = this.#id(chunk.submission);
    const isExtended = this.scene.scheduler.extend(by.handle, id, chunk.index, this.scene.nowMs);
    assert.equal(isExtended, this.model.extend(by.model, id, chunk.index, this.scene.nowMs));
  }

  #extendHeld({ who }: StepOf<'extendHeld'>): void {
    const by = this.#who(who);
    const held = this.model.held().find((chunk) => chunk.holder === by.model);
    if (held === undefined) return;
    const { id } = held.submission.record;
    assert.equal(this.scene.scheduler.extend(by.handle, id, held.index, this.scene.nowMs), true);
    assert.equal(this.model.extend(by.model, id, held.index, this.scene.nowMs), true);
  }

  #advance({ ms }: StepOf<'advance'>): void {
    this.scene.pass(ms);
    this.model.advance(this.scene.nowMs, this.#random.draws);
  }

  #connect({ concurrency, silentOnExpiry }: StepOf<'connect'>): void {
    const name = `consumer ${this.#named++}`;
    const well = { failuresInRow: 0, completionsSeen: 0, pauses: 0, pausedUntilMs: null };
    const model: ModelConsumer = { name, concurrency, silentOnExpiry, hasAsked: false, ...well };
    this.model.consumers.push(model);
    this.#consumers.push({ model, handle: this.scene.consumer(name, { concurrency, silentOnExpiry }) });
  }

  #disconnect({ who, manner }: StepOf<'disconnect'>): void {
    if (this.#consumers.length < 2) return;
    const by = this.#who(who);
    this.#consumers.splice(this.#consumers.indexOf(by), 1);
    this.scene.remove(by.handle, manner);
    this.model.removeConsumer(by.model, manner, this.scene.nowMs, this.#random.draws);
  }

  #cancelReserve({ which }: StepOf<'cancelReserve'>): void {
    const [request, asked] = [...this.#requests][which % Math.max(this.#requests.size, 1)] ?? [];
    const by = this.#consumers.find((consumer) => consumer.model === asked?.consumer);
    if (request === undefined || asked === undefined || by === undefined) return;
    const at = this.model.waiting.indexOf(asked);
    assert.equal(this.scene.scheduler.cancelReserve(by.handle, request), at >= 0);
    if (at >= 0) this.model.waiting.splice(at, 1);
  }

  #forget(): void {
    const ended = this.model.submissions.find((submission) => submission.ended);
    if (ended === undefined) return;
    const { id } = ended.record;
    assert.equal(this.scene.scheduler.get(id)?.state, 'ending');
    this.scene.scheduler.forget(id);
    this.model.forget(id);
    assert.equal(this.scene.scheduler.get(id), undefined);
  }

  /** Each answer goes to the first who waits and can be served, and holds as many legal chunks as there are. */
  #compareAnswers(): void {
    const { model, scene } = this;
    const canBeServed = (asked: ModelRequest) =>
      !model.isHeld && !model.isPaused && model.legal(asked.consumer, asked.strategy).length > 0;
    for (const { consumer, request, chunks } of scene.answers) {
      const asked = this.#requests.get(request)!;
      assert.equal(model.waiting.find(canBeServed), asked, 'the first one who can be served is served');
      assert.equal(consumer.peer, asked.consumer.name);
      const share = model.share(asked.consumer);
      for (const chunk of chunks) {
        const legal = model.legal(asked.consumer, asked.strategy);
        const taken = legal.find((each) => model.nameOf(each) === nameOf(chunk));
        assert.ok(taken, `${nameOf(chunk)} is not one of ${legal.map((each) => model.nameOf(each))}`);
        assert.equal(chunk.retries, taken.retries);
        model.handOut(asked.consumer, taken, scene.nowMs);
      }
      const max = Math.min(asked.max, share);
      assert.ok(chunks.length > 0 && chunks.length <= max, 'no more than its share');
      if (chunks.length < max) assert.equal(canBeServed(asked), false, 'as many as there are');
      model.waiting.splice(model.waiting.indexOf(asked), 1);
    }
    scene.takeAnswers();
    assert.equal(model.waiting.find(canBeServed), undefined, 'nobody waits for what is available to him');
  }

  #who(which: number): Both {
    return this.#consumers[which % this.#consumers.length]!;
  }

  #id(which: number): bigint {
    return this.#ids[which % (this.#ids.length + 1)] ?? 999n;
  }
}

function pairsOf(meta: Record<string, number>): ReadonlyMap<string, bigint> {
  return new Map(Object.entries(meta).map(([key, value]) => [key, BigInt(value)]));
}
