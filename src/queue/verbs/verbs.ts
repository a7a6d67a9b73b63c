import { type Act, isUntouched, NO_SCOPE_CONTROL, type Scope, SERVER_SCOPE } from '../../model/control.ts';
import {
  ChangeRefusedError,
  CountChangedError,
  NothingMatchesError,
  OpsqueueError,
  SubmissionEndedError,
  SubmissionNotFoundError,
} from '../../model/errors.ts';
import type { ShardId, SubmissionId } from '../../model/ids.ts';
import { QUEUES_MAX } from '../../model/limits.ts';
import type { Change, VerbAnswer, VerbRequest, VerbTarget } from '../../model/verbs.ts';
import type { OpenSubmission } from '../../scheduler/types.ts';
import type { Store } from '../../store/store.ts';
import { clipped, type Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { Endings } from '../endings.ts';
import { QueueUnavailableError, TooManyQueuesError } from '../errors.ts';
import type { QueueEvents } from '../events.ts';
import type { NamedQueue } from '../named-queue.ts';
import type { NamedQueues } from '../named-queues.ts';
import type { Shard } from '../shard/shard.ts';
import type { Shards } from '../shard/shards.ts';
import { changedControl, changedScope, deadlineProblem, detailOf, filterText, isInState } from './changes.ts';
import type { Retries } from './retries.ts';
import type { Scopes } from './scopes.ts';
import { VerbTally } from './verb-tally.ts';

export interface VerbsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly shards: Shards;
  readonly events: QueueEvents;
  readonly queues: NamedQueues;
  readonly scopes: Scopes;
  readonly endings: Endings;
  readonly retries: Retries;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/** An open submission that a verb is for. */
interface Target {
  readonly queue: NamedQueue;
  readonly submission: OpenSubmission;
}

type Among = ReadonlySet<SubmissionId> | null;

/** Submissions that are changed in one turn of the event loop: a few milliseconds. */
const SLICE = 250;
/** Those that are looked at in one. */
const LOOKS = 1_000;
/**
 * Queues of which is remembered what was done to them as such: twice as many as there can be at a time. Beyond, of those
 * that are not paused the one untouched for longest is forgotten.
 */
const SCOPES_MAX = 2 * QUEUES_MAX;
/** Ids and characters that go into the log. */
const IDS_LOGGED_MAX = 10;
const REASON_LOGGED_MAX = 500;

/** How log lines say what was done. */
const DONE = {
  pause: 'paused',
  resume: 'resumed',
  set: 'changed',
  cancel: 'cancelled',
  retry: 'retried',
} as const;

/**
 * What operators and producers do to submissions, queues and the server while work goes on. In force at once, and
 * acknowledged after the commit.
 */
export class Verbs {
  readonly #o: VerbsOptions;

  constructor(options: VerbsOptions) {
    this.#o = options;
  }

  /**
   * @param among of what matches, only these; null = all
   * @param isPart others look after the rest of it: that nothing can be done to any that is named is no error
   * @param whole the shards that must be here and ready for what matches to be all that is meant
   * @throws SubmissionNotFoundError, SubmissionEndedError or ChangeRefusedError if that is true of all that is named;
   *   NothingMatchesError; CountChangedError; DeadlinePassedError; QueueUnavailableError
   */
  async run(
    request: VerbRequest,
    among: Among = null,
    isPart = false,
    whole: readonly ShardId[] = [],
  ): Promise<VerbAnswer> {
    const { target, change } = request;
    this.#checkTimes(change);
    const act = this.#actOf(request);
    if (target.kind === 'queue') return this.#scope(request, target.queue, act);
    if (target.kind === 'server') return this.#scope(request, SERVER_SCOPE, act);
    const tally = new VerbTally(this.#o.scopes);
    this.#o.shards.assertReady(whole);
    if (change.verb === 'retry') return this.#retry(request, among, act, tally, isPart, whole);
    const targets =
      target.kind === 'matching' ? await this.#matching(target, among) : await this.#named(target, tally);
    this.#assertFound(targets, target, whole);
    if (request.expected !== null && targets.length > request.expected) {
      throw new CountChangedError(targets.length, request.expected);
    }
    await this.#changeAll(targets, request, act, tally);
    if (!isPart && tally.done === 0 && tally.unchanged === 0) throw tally.skipped[0]!.error;
    return this.#answer(request, targets.length, tally);
  }

  /** What it is for has ended, mostly. */
  async #retry(
    request: VerbRequest,
    among: Among,
    act: Act,
    tally: VerbTally,
    isPart: boolean,
    whole: readonly ShardId[],
  ): Promise<VerbAnswer> {
    const { target, isDryRun, expected } = request;
    const { retries } = this.#o;
    const targets =
      target.kind === 'submissions'
        ? [...new Set(target.ids)].map((id) => ({ id, queue: target.queue }))
        : (await retries.matching(target)).filter(({ id }) => among?.has(id) ?? true);
    this.#assertFound(targets, target, whole, 'submission with failures');
    if (expected !== null && targets.length > expected) throw new CountChangedError(targets.length, expected);
    tally.chunks = 0;
    for (let from = 0; from < targets.length; from += SLICE) {
      const slice = targets.slice(from, from + SLICE);
      // Together: they share commits.
      const results = await Promise.all(
        slice.map((each) => retries.retry(each, isDryRun ? null : act).catch(asOwnError)),
      );
      for (const [i, result] of results.entries()) {
        const { id } = slice[i]!;
        if (result instanceof OpsqueueError) tally.skip(id, result);
        else if (result.chunks === 0) tally.unchanged++;
        else tally.changed(id);
        if (result instanceof OpsqueueError) continue;
        tally.chunks += result.chunks;
        if (result.chunks > 0) tally.look(result.queue, result.pauses);
      }
    }
    if (!isPart && tally.done === 0 && tally.unchanged === 0) throw tally.skipped[0]!.error;
    return this.#answer(request, targets.length, tally);
  }

  #actOf({ change, by, reason }: VerbRequest): Act {
    return { verb: change.verb, detail: detailOf(change), by, reason, atMs: this.#o.clock.nowMs() };
  }

  /** What is wrong whatever was set before: nothing is looked for then. */
  #checkTimes(change: Change): void {
    if (change.verb !== 'set') return;
    const { deadlineMs, startAfterMs } = change;
    const problem = deadlineProblem(deadlineMs ?? null, startAfterMs ?? null, this.#o.clock.nowMs());
    if (problem !== null) throw problem;
  }

  async #changeAll(
    targets: readonly Target[],
    request: VerbRequest,
    act: Act,
    tally: VerbTally,
  ): Promise<void> {
    const ends: Promise<void>[] = [];
    for (let from = 0; from < targets.length; from += SLICE) {
      if (from > 0) await this.#turn();
      for (const target of targets.slice(from, from + SLICE)) {
        if (request.change.verb !== 'cancel') this.#change(target, request, act, tally);
        else {
          const end = this.#cancel(target, request, tally);
          // The store may be lost before all are under way.
          end.catch(() => {});
          ends.push(end);
        }
      }
    }
    await Promise.all(ends);
    await committed(new Set(targets.map(({ queue }) => queue.shard)));
  }

  #change({ queue, submission }: Target, request: VerbRequest, act: Act, tally: VerbTally): void {
    const { id } = submission.record;
    // It may have ended since it was found.
    const next =
      submission.state === 'open'
        ? changedControl(submission, request.change, act)
        : new SubmissionEndedError(id, 'ending');
    if (next instanceof OpsqueueError) {
      tally.skip(id, next);
      return;
    }
    if (next !== null && !request.isDryRun) {
      // What is on disk comes first: an effect of it may be the end.
      queue.shard.journal.add({ kind: 'control', id, control: next });
      queue.control(id, next);
      this.#o.events.publish({ kind: 'submission_changed', submission, act }, this.#o.clock.monotonicMs());
    }
    tally.look(queue.name, (next ?? submission.control).pauses);
    if (next === null) tally.unchanged++;
    else tally.changed(id);
  }

  async #cancel({ queue, submission }: Target, request: VerbRequest, tally: VerbTally): Promise<void> {
    const { id } = submission.record;
    if (request.isDryRun) {
      tally.changed(id);
      tally.look(queue.name, submission.control.pauses);
      return;
    }
    const result = await this.#o.endings.cancel(queue.name, id, request);
    if (result.kind === 'cancelled') tally.changed(id);
    else
      tally.skip(id, new SubmissionEndedError(id, result.kind === 'ended' ? result.status.state : 'ending'));
  }

  /** Of a queue as such, or of the server. */
  async #scope(request: VerbRequest, scope: Scope, act: Act): Promise<VerbAnswer> {
    const { scopes, queues, shards } = this.#o;
    const shard = shards.ofScope(scope);
    const next = changedScope(scopes.get(scope), request.change, act);
    const isFull = next !== null && isUntouched(scopes.get(scope)) && scopes.size >= SCOPES_MAX;
    const forgotten = isFull ? scopes.longestResumed((each) => shards.findScope(each) !== undefined) : null;
    if (isFull && forgotten === null) {
      throw new ChangeRefusedError(`${SCOPES_MAX} queues are paused by name already, there cannot be more`);
    }
    const tally = new VerbTally(scopes);
    tally.done = next === null ? 0 : 1;
    tally.unchanged = 1 - tally.done;
    if (next !== null && !request.isDryRun) {
      if (forgotten !== null) {
        const control = NO_SCOPE_CONTROL;
        shards.findScope(forgotten)?.journal.add({ kind: 'scope_control', scope: forgotten, control });
        scopes.set(forgotten, NO_SCOPE_CONTROL);
      }
      shard.journal.add({ kind: 'scope_control', scope, control: next });
      scopes.set(scope, next);
      queues.pausesChanged();
      this.#o.events.publish({ kind: 'scope_changed', scope, act }, this.#o.clock.monotonicMs());
    }
    // What made it so already may not be on disk yet.
    if (!request.isDryRun) await committed([shard]);
    tally.lookAtScope(scope, next ?? scopes.get(scope));
    return this.#answer(request, 1, tally);
  }

  /** Open submissions that match: all of those that are there, and do, for as long as this takes. */
  async #matching(filter: Extract<VerbTarget, { kind: 'matching' }>, among: Among): Promise<Target[]> {
    const targets: Target[] = [];
    let looks = 0;
    for (const queue of this.#o.queues) {
      if (filter.queue !== null && queue.name !== filter.queue) continue;
      for (const submission of queue.scheduler.matching(filter.metadata)) {
        if (++looks % LOOKS === 0) await this.#turn();
        if (among?.has(submission.record.id) === false) continue;
        if (isInState(submission, filter.state, this.#o.scopes.isPaused(queue.name))) {
          targets.push({ queue, submission });
        }
      }
    }
    return targets;
  }

  /** A shard may have gone, with what matches in it, while they were looked for. */
  #assertFound(
    targets: readonly unknown[],
    target: VerbTarget,
    whole: readonly ShardId[],
    what?: string,
  ): void {
    this.#o.shards.assertReady(whole);
    if (targets.length === 0 && target.kind === 'matching') {
      throw new NothingMatchesError(filterText(target), what);
    }
  }

  /** Others get theirs. */
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#o.clock.soon(resolve));
  }

  async #named(
    { ids, queue }: Extract<VerbTarget, { kind: 'submissions' }>,
    tally: VerbTally,
  ): Promise<Target[]> {
    const targets: Target[] = [];
    for (const id of new Set(ids)) {
      const found = this.#open(id, queue);
      if (found?.submission.state === 'open') targets.push(found);
      else tally.skip(id, await this.#absence(id, queue));
    }
    return targets;
  }

  #open(id: SubmissionId, queueName: string | null): Target | null {
    for (const queue of this.#o.queues) {
      if (queueName !== null && queue.name !== queueName) continue;
      const submission = queue.scheduler.get(id);
      if (submission !== undefined) return { queue, submission };
    }
    return null;
  }

  /** Why a submission is not open. */
  async #absence(id: SubmissionId, queue: string | null): Promise<OpsqueueError> {
    if (this.#open(id, queue) !== null) return new SubmissionEndedError(id, 'ending');
    const stored = await this.#o.store.findById(id);
    if (stored === null) return new SubmissionNotFoundError(id);
    const { queue: name } = stored.record;
    if (queue !== null && name !== queue) return new SubmissionNotFoundError(id, name);
    this.#o.shards.of(name);
    // The store knows it as open for a moment before the scheduler does.
    if (stored.end === null) return new QueueUnavailableError('the submission is being inserted');
    return new SubmissionEndedError(id, stored.end.state);
  }

  #answer(request: VerbRequest, matched: number, tally: VerbTally): VerbAnswer {
    const { change, isDryRun, target, by, reason } = request;
    const { done, unchanged, stillPaused, holds, chunks, ids, skipped } = tally;
    if (!isDryRun && done > 0) {
      const what = target.kind === 'queue' || target.kind === 'server' ? target.kind : 'submissions';
      const fields = {
        by,
        ...(reason === null ? {} : { reason: clipped(reason, REASON_LOGGED_MAX) }),
        ...(detailOf(change) === '' ? {} : { detail: clipped(detailOf(change), REASON_LOGGED_MAX) }),
        ...(target.kind === 'queue' ? { queue: target.queue } : {}),
        ...(what === 'submissions'
          ? { count: done, submissions: ids.slice(0, IDS_LOGGED_MAX).map(String) }
          : {}),
        ...(skipped.length === 0 ? {} : { skipped: skipped.length }),
      };
      this.#o.logger.info(fields, `${what} ${DONE[change.verb]}`);
    }
    return {
      verb: change.verb,
      isDryRun,
      matched,
      done,
      unchanged,
      stillPaused,
      holds,
      ...(chunks === undefined ? {} : { chunks }),
      ids,
      skipped: skipped.map(({ id, error: { code, message } }) => ({ id, code, text: message })),
    };
  }
}

async function committed(shards: Iterable<Shard>): Promise<void> {
  try {
    await Promise.all(Array.from(shards, ({ journal }) => journal.committed()));
  } catch (cause) {
    throw new QueueUnavailableError('the queue stops before this is on disk', { cause });
  }
}

/** Errors of a retry by which one submission is passed over; any other ends the request. */
const OWN_ERRORS = [SubmissionNotFoundError, SubmissionEndedError, TooManyQueuesError] as const;

function asOwnError(error: unknown): OpsqueueError {
  if (error instanceof OpsqueueError && OWN_ERRORS.some((type) => error instanceof type)) return error;
  throw error;
}
