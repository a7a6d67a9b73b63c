import { ChunkSet } from '../../../src/model/chunk-set.ts';
import { NamedQueue } from '../../../src/queue/named-queue.ts';
import { Retries } from '../../../src/queue/retries.ts';
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
