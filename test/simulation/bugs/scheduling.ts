import { ChunkSet } from '../../../src/model/chunk-set.ts';
import { Ledger } from '../../../src/scheduler/ledger.ts';
import { MetaValue } from '../../../src/scheduler/metadata.ts';
import { PlanCache } from '../../../src/scheduler/plan/cache.ts';
import { Plan } from '../../../src/scheduler/plan/plan.ts';
import { Scheduler } from '../../../src/scheduler/scheduler.ts';
import { SetbackRules } from '../../../src/scheduler/setbacks.ts';
import { Shuns } from '../../../src/scheduler/shuns.ts';
import { SickConsumers } from '../../../src/scheduler/sick-consumers.ts';
import { ScheduledSubmission } from '../../../src/scheduler/state.ts';
import { WaitingLines } from '../../../src/scheduler/waiting-lines.ts';
import { during, replace } from '../replace.ts';
import type { Bug } from './bug.ts';

/** The call makes chunks available, but hands none of them to those who wait. */
export function wakesNobody(call: 'insert' | 'fail' | 'removeConsumer' | 'control'): void {
  const isCalled = during(Scheduler.prototype, call);
  replace(
    WaitingLines.prototype,
    'touchByChanges',
    (original) =>
      function () {
        if (!isCalled()) original.call(this);
      },
  );
}

/** Bugs of the schedule: who gets what, and when. */
export const SCHEDULING_BUGS: readonly Bug[] = [
  {
    name: 'a restart forgets what was done',
    plant() {
      replace(
        Scheduler.prototype,
        'insert',
        (original) =>
          function (record, nowMs, progress, controlAt) {
            const forgotten = progress && { ...progress, done: new ChunkSet(record.chunksTotal) };
            return original.call(this, record, nowMs, forgotten, controlAt);
          },
      );
    },
  },
  { name: 'an insert wakes nobody', plant: () => wakesNobody('insert') },
  { name: 'a failure wakes nobody', plant: () => wakesNobody('fail') },
  { name: 'a broken connection wakes nobody', plant: () => wakesNobody('removeConsumer') },
  {
    name: 'a failure is not counted',
    plant() {
      replace(
        SetbackRules.prototype,
        'failed',
        (original) =>
          function (before, failure, record) {
            return original.call(this, { ...before, retries: before.retries - 1 }, failure, record);
          },
      );
    },
  },
  {
    name: 'a broken connection counts as a failure',
    plant() {
      replace(
        SetbackRules.prototype,
        'disconnected',
        (original) =>
          function (before, times, nowMs) {
            const setback = original.call(this, before, times, nowMs);
            return { ...setback, tries: { ...setback.tries, retries: before.retries + 1 } };
          },
      );
    },
  },
  {
    name: 'a broken connection counts for ever',
    plant() {
      replace(
        SetbackRules.prototype,
        'disconnected',
        (original) =>
          function (before, times, nowMs) {
            return original.call(this, before, times.fill(nowMs), nowMs);
          },
      );
    },
  },
  {
    name: 'a failed chunk does not wait for its retry',
    plant() {
      const isFailing = during(SetbackRules.prototype, 'failed');
      replace(
        SetbackRules.prototype,
        'backOffMs',
        (original) =>
          function (retries, record) {
            return isFailing() ? 0 : original.call(this, retries, record);
          },
      );
    },
  },
  {
    name: 'a restart forgets the waits of failed chunks',
    plant() {
      replace(Ledger.prototype, 'postpone', () => () => {});
    },
  },
  {
    name: 'a submission fails after the tries of the queue, not its own',
    plant() {
      replace(
        SetbackRules.prototype,
        'failed',
        (original) =>
          function (before, failure, record) {
            const retry = record.retry && { ...record.retry, triesMax: null };
            return original.call(this, before, failure, { ...record, retry });
          },
      );
    },
  },
  {
    name: 'a sick consumer is never freed',
    plant() {
      replace(
        SickConsumers.prototype,
        'chunksMax',
        (original) =>
          function (consumer) {
            return consumer.pauses > 0 ? 0 : original.call(this, consumer);
          },
      );
    },
  },
  {
    name: 'a chunk that is given back counts as failed',
    plant() {
      replace(
        Scheduler.prototype,
        'release',
        () =>
          function (consumer, id, chunkIndex, nowMs) {
            return this.fail(consumer, id, chunkIndex, { text: '' }, nowMs) !== 'stale';
          },
      );
    },
  },
  {
    name: 'anybody can fail a chunk',
    plant() {
      replace(
        Scheduler.prototype,
        'fail',
        (original) =>
          function (consumer, id, chunkIndex, failure, nowMs) {
            const submission = this.get(id);
            const held =
              submission instanceof ScheduledSubmission
                ? submission.reservations?.get(chunkIndex)
                : undefined;
            return original.call(this, held?.consumer ?? consumer, id, chunkIndex, failure, nowMs);
          },
      );
    },
  },
  {
    name: 'an expired chunk goes back to the same old client at once',
    plant() {
      replace(Ledger.prototype, 'bar', () => () => {});
      // Nor is another consumer preferred: that would hide it.
      const isExpiring = during(Scheduler.prototype, 'advance');
      replace(
        Shuns.prototype,
        'failed',
        (original) =>
          function (...args) {
            return isExpiring() ? false : original.apply(this, args);
          },
      );
      replace(
        SickConsumers.prototype,
        'failed',
        (original) =>
          function (...args) {
            return isExpiring() ? 0 : original.apply(this, args);
          },
      );
    },
  },
  {
    name: 'a chunk that is given back is handed out twice',
    plant() {
      replace(
        ScheduledSubmission.prototype,
        'giveBackChunk',
        (original) =>
          function (index) {
            original.call(this, index);
            original.call(this, index);
          },
      );
    },
  },
  {
    name: 'an in-flight count leaks',
    plant() {
      replace(MetaValue.prototype, 'inFlightFalls', () => () => {});
    },
  },
  {
    name: 'a submission that ended stays on the schedule',
    plant() {
      replace(
        Ledger.prototype,
        'close',
        (original) =>
          function (submission) {
            const { chunksAvailable } = submission;
            submission.chunksAvailable = 0;
            const reservations = original.call(this, submission);
            submission.chunksAvailable = chunksAvailable;
            return reservations;
          },
      );
    },
  },
  {
    name: 'reservations never expire',
    plant() {
      replace(Scheduler.prototype, 'nextDeadlineMs', () => () => null);
    },
  },
  {
    name: 'an extended reservation keeps its place in the order of expiry',
    plant() {
      let expirationMs = 0;
      replace(
        Ledger.prototype,
        'handOut',
        (original) =>
          function (submission, consumer, nowMs) {
            const reservation = original.call(this, submission, consumer, nowMs);
            expirationMs = reservation.expiresMs - nowMs;
            return reservation;
          },
      );
      replace(Ledger.prototype, 'extend', () => (reservation, nowMs) => {
        reservation.expiresMs = nowMs + expirationMs;
      });
    },
  },
  {
    name: 'a plan is built from a stale set',
    plant() {
      const isBuilding = during(PlanCache.prototype, 'entryFor');
      const begun = new WeakSet<object>();
      // The first one that it is to take in is left out.
      replace(
        Plan.prototype,
        'candidateChanged',
        (original) =>
          function (candidate) {
            if (isBuilding() && !begun.has(this)) begun.add(this);
            else original.call(this, candidate);
          },
      );
    },
  },
];
