import { ChunkSet } from '../../src/model/chunk-set.ts';
import { type Control, NO_CONTROL } from '../../src/model/control.ts';
import type { SubmissionId } from '../../src/model/ids.ts';
import type { RetryPolicy } from '../../src/model/retry.ts';
import type { Change, VerbTarget } from '../../src/model/verbs.ts';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { Life } from './oracle/life.ts';
import type { Oracle } from './oracle/oracle.ts';
import { Violation } from './oracle/violation.ts';
import type { SimClock } from './sim-clock.ts';
import type { SimOffice } from './sim-office.ts';
import { inputOf, type Told } from './work.ts';

/** A submission with more chunks than this is there to reach a second page: nobody has the time to do it all. */
export const LARGE_CHUNKS = 100;

export interface SimProducersOptions {
  readonly clock: SimClock;
  readonly random: Random;
  readonly oracle: Oracle;
  /** For retries: the rest of a run does not depend on how many there are. */
  readonly retryRandom: Random;
  /** For what producers do in the middle of the work; null: nothing. */
  readonly controls: Random | null;
  /** Processes run all the time, and as fast as we do. */
  readonly isSteady: boolean;
  /** Those that submissions are inserted into. */
  readonly queues: readonly string[];
  /** Queues are on several nodes: a pause of the whole server reaches some of them later. */
  readonly isDealt: boolean;
  /** That the queue is open at; null while there is none that takes anything. */
  process(queue: string): SimOffice | null;
  failed(error: unknown): void;
}

/** For which the actors pause and resume. */
const CAUSES = ['manual', 'disk'] as const;
/** For which they pause what is to be ended by its deadline alone. */
const UNTIL_DEADLINE = 'until its deadline';
const SERVER: VerbTarget = { kind: 'server' };

function ids(id: SubmissionId): VerbTarget {
  return { kind: 'submissions', ids: [id], queue: null };
}

/** As the oracle knows it. */
function nameOf(target: VerbTarget): string {
  if (target.kind === 'submissions') return String(target.ids[0]);
  return target.kind === 'queue' ? `queue ${target.queue}` : target.kind;
}

/** Producers: insert (again, when no answer comes), cancel, ask, wait for news. */
export class SimProducers {
  readonly #o: SimProducersOptions;
  #inserts = 0;
  readonly #queuesPaused = new Set<string>();
  /** From now on nothing new comes. */
  isOver = false;

  constructor(options: SimProducersOptions) {
    this.#o = options;
  }

  /** One producer; it goes on by itself. */
  start(): void {
    this.#later(() => this.#act(), 200);
    this.#laterRetry();
  }

  /** Whoever inserted them, and whether or not it heard of that. */
  cancel(submissions: Iterable<{ readonly id: SubmissionId; readonly queue: string }>): void {
    for (const { id, queue } of submissions) this.#cancel(id, queue);
  }

  cancelLarge(): void {
    for (const [id, { queue, chunks }] of this.#o.oracle.acknowledgedInserts) {
      if (chunks > LARGE_CHUNKS) this.#cancel(id, queue);
    }
  }

  /** Once the faults are over: nothing stays paused but what its deadline ends. */
  resumeAll(): void {
    for (const cause of CAUSES) {
      this.#resume(SERVER, cause);
      for (const queue of this.#queuesPaused) this.#resume({ kind: 'queue', queue }, cause);
      for (const id of this.#o.oracle.acknowledgedInserts.keys()) this.#resume(ids(id), cause);
    }
    // A retry takes the deadline away, and leaves the pause.
    for (const id of this.#o.oracle.acknowledgedInserts.keys())
      if (!this.#o.oracle.hasDeadline(id)) this.#resume(ids(id), UNTIL_DEADLINE);
  }

  #changeSome(id: SubmissionId, queue: string, controls: Random): void {
    const luck = controls.next();
    const isOfServer = luck < 0.12 && !this.#o.isDealt;
    const target: VerbTarget = luck < 0.08 ? { kind: 'queue', queue } : isOfServer ? SERVER : ids(id);
    const cause = CAUSES[randomInt(controls, CAUSES.length)]!;
    if (target.kind === 'submissions' && controls.next() < 0.3) {
      const strategicMetadata = new Map([['moved', BigInt(randomInt(controls, 3))]]);
      this.#run({ verb: 'set', strategicMetadata }, target);
    } else if (controls.next() < 0.2) this.#resume(target, cause);
    else {
      this.#pause(target, cause);
      this.#later(() => this.#resume(target, cause), 6_000);
    }
  }

  #pause(target: VerbTarget, cause: string): void {
    const { oracle } = this.#o;
    const what = nameOf(target);
    if (target.kind === 'queue') this.#queuesPaused.add(target.queue);
    const resumesAsked = oracle.resumesAskedOf(what, cause);
    this.#run({ verb: 'pause', cause }, target, (life) => life.pauseAcknowledged(what, cause, resumesAsked));
  }

  #resume(target: VerbTarget, cause: string): void {
    this.#o.oracle.resumeAsked(nameOf(target), cause);
    this.#run({ verb: 'resume', cause }, target);
  }

  #run(change: Change, target: VerbTarget, acknowledged: (life: Life) => void = () => {}): void {
    const process = this.#o.process(this.#queueOf(target));
    const request = { change, target, by: 'sim', reason: null, isDryRun: false, expected: null };
    process?.queue.verbs.run(request).then(
      () => this.#heard(process, acknowledged),
      () => {},
    );
  }

  #queueOf(target: VerbTarget): string {
    if (target.kind === 'queue') return target.queue;
    const id = target.kind === 'submissions' ? target.ids[0] : undefined;
    return id === undefined ? '' : (this.#o.oracle.acknowledgedInserts.get(id)?.queue ?? '');
  }

  #act(): void {
    if (this.isOver) return;
    this.#later(() => this.#act(), 800);
    const luck = this.#o.random.next();
    const { controls } = this.#o;
    if (controls !== null && controls.next() < 0.2) {
      this.#withSome((id, queue) => this.#changeSome(id, queue, controls));
    }
    if (luck < 0.5) this.#insert();
    else if (luck < 0.6) this.#withSome((id, queue) => this.#cancel(id, queue));
    else if (luck < 0.7) this.#withSome((id, queue) => this.#ask(id, queue));
    else if (luck < 0.8) this.#withSome((id, queue) => this.#askProgress(id, queue));
    else this.#withSome((id, queue) => this.#wait(id, queue));
  }

  #laterRetry(): void {
    const { clock, retryRandom } = this.#o;
    clock.at(clock.elapsedMs + 1 + randomInt(retryRandom, 1_500), () => {
      if (this.isOver) return;
      this.#laterRetry();
      this.#retrySome();
    });
  }

  /** Somebody has mended what made chunks fail: mostly something that has failed is tried again. */
  #retrySome(): void {
    const { oracle, retryRandom } = this.#o;
    const ids = oracle.failedOnDisk();
    const others = [...oracle.acknowledgedInserts.keys()];
    const from = ids.length > 0 && retryRandom.next() < 0.8 ? ids : others;
    const id = from[randomInt(retryRandom, Math.max(from.length, 1))];
    const told = id === undefined ? undefined : oracle.acknowledgedInserts.get(id);
    const process = this.#o.process(told?.queue ?? '');
    if (process === null || id === undefined || told === undefined) return;
    const { queue } = told;
    const act = { verb: 'retry', detail: '', by: 'sim', reason: null, atMs: 0 } as const;
    const open = process.queue.reads.open(queue, id);
    const hasFailed = open?.state === 'open' && (open.failed?.count ?? 0) > 0;
    // What is open is handed out again at once, unless the store is stuck for its shard.
    const isHealthy = process.queue.shardFor(queue)?.isHealthy === true;
    const asked = process.life.retryAsked(id, hasFailed && isHealthy);
    process.queue.retries.retry({ id, queue }, act).then(
      ({ chunks }) => this.#heard(process, (life) => life.retryAcknowledged(asked, chunks)),
      () => {},
    );
  }

  #insert(): void {
    const number = this.#inserts++;
    const isDirect = this.#chance(0.3);
    const isLarge = !isDirect && this.#chance(0.1);
    const chunks = this.#chance(0.05) ? 0 : isLarge ? 5_000 : 1 + this.#int(12);
    const name = `${isDirect ? 'key' : 'p'}-${number}`;
    const { queues, oracle } = this.#o;
    const queue = queues.length > 1 ? queues[this.#int(queues.length)]! : '';
    const told: Told = { queue, name, chunks, isDirect };
    oracle.inserts(told);
    const inputs = Array.from({ length: chunks }, (_, i) => inputOf(told, i));
    const wanted = {
      queue,
      prefix: isDirect ? null : name,
      ...(isDirect ? { directInputs: inputs, idempotencyKey: name } : {}),
      chunksTotal: chunks,
      chunkSizeOps: 1,
      metadata: null,
      strategicMetadata: new Map([
        ['customer', BigInt(name.length + (number % 3))],
        ['shop', BigInt(chunks % 2)],
        // Two at a time would take too long for thousands.
        ...(isLarge ? [] : [['licence', BigInt(number % 2)] as const]),
      ]),
      otelTraceCarrier: '{}',
      retryDelayMs: this.#chance(0.2) ? 300 : 0,
      retry: this.#retry(),
      failureMode: number % 3 === 2 ? ('collect' as const) : ('fail' as const),
    };
    const luck = this.#o.controls?.next() ?? 1;
    const isTimed = luck < 0.2;
    let control: Control | undefined;
    const attempt = (tries: number): void => {
      const process = this.#o.process(queue);
      const again = () => tries < 20 && this.#later(() => attempt(tries + 1), 500);
      if (process === null) {
        again();
        return;
      }
      control ??= isTimed ? this.#times(process, luck < 0.1) : NO_CONTROL;
      process.queue.inserts.insert({ ...wanted, control }).then(
        (id) =>
          this.#heard(
            process,
            (life) => {
              life.insertAcknowledged(id, told);
              // Only its deadline ends it.
              if (control !== undefined && control.deadlineMs !== null) {
                this.#pause(ids(id), UNTIL_DEADLINE);
              }
            },
            again,
          ),
        (error: { code?: string }) => {
          // Everything that is sent again is the same.
          if (error.code === 'SUBMISSION_CONFLICT') this.#o.failed(error);
          again();
        },
      );
    };
    attempt(0);
    if (isLarge) this.#later(() => this.cancelLarge(), 3_000);
  }

  #times(process: SimOffice, hasDeadline: boolean): Control {
    const nowMs = process.wallMs;
    return hasDeadline
      ? { ...NO_CONTROL, deadlineMs: nowMs + 3_000 + this.#int(20_000) }
      : { ...NO_CONTROL, startAfterMs: nowMs + 6_000 + this.#int(12_000) };
  }

  #retry(): RetryPolicy | null {
    if (this.#chance(0.4)) return null;
    const triesMax = this.#chance(0.5) ? null : 1 + this.#int(5);
    return { triesMax, delayMs: this.#int(400), factor: 2, delayMsMax: 1_500, jitter: this.#int(2) / 2 };
  }

  #cancel(id: SubmissionId, queue: string): void {
    const process = this.#o.process(queue);
    if (!this.#isElsewhere(id, queue)) this.#o.oracle.mayEnd(id);
    process?.queue.endings.cancel(queue, id).then(
      (result) =>
        this.#heard(process, (life) => {
          if (this.#isElsewhere(id, queue)) return life.elsewhere(id, result.kind !== 'unknown');
          if (result.kind === 'cancelled') life.cancelAcknowledged(id);
          else if (result.kind === 'ended') life.statusSeen(id, result.status.state);
          else life.unknownSeen(id);
        }),
      () => {},
    );
  }

  #ask(id: SubmissionId, queue: string): void {
    const process = this.#o.process(queue);
    process?.queue.reads.status(queue, id).then(
      (status) =>
        this.#heard(process, (life) => {
          if (this.#isElsewhere(id, queue)) return life.elsewhere(id, status !== null);
          if (status === null) life.unknownSeen(id);
          else life.statusSeen(id, status.state);
        }),
      () => {},
    );
  }

  #askProgress(id: SubmissionId, queue: string): void {
    const process = this.#o.process(queue);
    process?.queue.reads.chunksDone(queue, id, 0).then(
      (told) =>
        this.#heard(process, (life) => {
          if (this.#isElsewhere(id, queue)) return life.elsewhere(id, told !== null);
          if (told === null) {
            life.unknownSeen(id);
            return;
          }
          const done = new ChunkSet(told.chunksTotal);
          for (const { page, content } of told.pages) done.setPage(page, content);
          life.progressSeen(id, done);
        }),
      () => {},
    );
  }

  /** A long poll: woken by news or when the time is up, never later. */
  #wait(id: SubmissionId, queue: string): void {
    const process = this.#o.process(queue);
    const open = process?.queue.reads.open(queue, id);
    if (process === null || open === undefined) return;
    const waitMs = 1 + this.#int(3_000);
    const doneAbove = this.#chance(0.3) ? null : open.done.count + this.#int(2);
    let isWoken = false;
    const takeBack = process.queue.reads.wait(queue, id, { doneAbove, waitMs }, () => {
      isWoken = true;
      this.#askProgress(id, queue);
    });
    if (takeBack === null) return;
    if (this.#chance(0.2)) {
      takeBack();
      return;
    }
    if (!this.#o.isSteady) return;
    this.#o.clock.at(this.#o.clock.elapsedMs + waitMs + 1, () => {
      if (process.isAlive && !isWoken) this.#o.failed(new Violation(`a wait for ${id} never ends`));
    });
  }

  /** An answer leaves the process at once and is judged then; or it is lost, and the producer asks again. */
  #heard(process: SimOffice, judge: (life: Life) => void, lost: () => void = () => {}): void {
    if (!process.isAlive || !process.mayAnswer()) {
      lost();
      return;
    }
    try {
      judge(process.life);
    } catch (error) {
      this.#o.failed(error);
    }
    if (this.#chance(0.1)) lost();
  }

  /** With its queue, or now and then with another one, where it must be unknown. */
  #withSome(run: (id: SubmissionId, queue: string) => void): void {
    const { queues, oracle } = this.#o;
    const all = [...oracle.acknowledgedInserts];
    if (all.length === 0) return;
    const [id, { queue }] = all[this.#int(all.length)]!;
    const isLost = queues.length > 1 && this.#chance(0.2);
    run(id, isLost ? queues[this.#int(queues.length)]! : queue);
  }

  #isElsewhere(id: SubmissionId, queue: string): boolean {
    const told = this.#o.oracle.acknowledgedInserts.get(id);
    return told !== undefined && told.queue !== queue;
  }

  #later(run: () => void, delayMsMax: number): void {
    this.#o.clock.at(this.#o.clock.elapsedMs + 1 + this.#int(delayMsMax), run);
  }

  #int(below: number): number {
    return randomInt(this.#o.random, below);
  }

  #chance(share: number): boolean {
    return this.#o.random.next() < share;
  }
}
