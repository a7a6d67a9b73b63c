import { ChunkSet } from '../../../src/model/chunk-set.ts';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { NamedQueue } from '../../../src/queue/named-queue.ts';
import { Retries } from '../../../src/queue/verbs/retries.ts';
import { Ledger } from '../../../src/scheduler/ledger.ts';
import { ScheduledSubmission } from '../../../src/scheduler/state.ts';
import { during, replace, replaceGetter } from '../replace.ts';
import type { Bug } from './bug.ts';

/** Bugs of chunks that are set aside, and of retries. */
export const FAILING_BUGS: readonly Bug[] = [
  {
    name: 'a retry resurrects done chunks',
    plant() {
      const isRetrying = during(Retries.prototype, 'retry');
      replace(
        NamedQueue.prototype,
        'insert',
        (original) =>
          function (record, control, progress) {
            const done = new ChunkSet(record.chunksTotal);
            const changed = isRetrying() && progress !== undefined ? { ...progress, done } : progress;
            original.call(this, record, control, changed);
          },
      );
    },
  },
  {
    name: 'a retry keeps the tries',
    plant() {
      replace(ScheduledSubmission.prototype, 'forgetAllTries', () => () => {});
    },
  },
  {
    name: 'a retry forgets the tries once more at its commit',
    steps: 3_000,
    plant() {
      let retried: ScheduledSubmission<unknown> | null = null;
      replace(
        Ledger.prototype,
        'retry',
        (original) =>
          function (submission) {
            retried = submission;
            original.call(this, submission);
          },
      );
      replace(
        Retries.prototype,
        'retry',
        (original) =>
          async function (target, act) {
            const outcome = await original.call(this, target, act);
            if (retried?.record.id === target.id) retried.forgetAllTries();
            return outcome;
          },
      );
    },
  },
  {
    name: 'a retry is acknowledged before its commit',
    plant() {
      const isRetrying = during(Retries.prototype, 'retry');
      replace(
        Journal.prototype,
        'committed',
        (original) =>
          function () {
            return isRetrying() ? Promise.resolve() : original.call(this);
          },
      );
    },
  },
  {
    name: 'a failed chunk is forgotten at restart',
    plant() {
      replace(
        Ledger.prototype,
        'open',
        (original) =>
          function (record, done, nowMs, tries) {
            return original.call(this, record, done, nowMs, tries, null);
          },
      );
    },
  },
  {
    name: 'a collecting submission ends while chunks are in flight',
    plant() {
      replaceGetter(
        ScheduledSubmission.prototype,
        'isSettled',
        (original) =>
          function () {
            const { done, chunksFailed, chunksReserved } = this;
            if (chunksFailed > 0 && done.count + chunksFailed + chunksReserved === done.size) return true;
            return original.call(this);
          },
      );
    },
  },
];
