import { ChunkSet } from '../../../src/model/chunk-set.ts';
import type { SubmissionId } from '../../../src/model/ids.ts';
import { Consumers } from '../../../src/queue/consumers.ts';
import { Endings } from '../../../src/queue/endings.ts';
import { Inserts } from '../../../src/queue/inserts.ts';
import { Backlog, type PagedSubmission } from '../../../src/queue/journal/backlog.ts';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { Reads } from '../../../src/queue/reads.ts';
import { Scheduler } from '../../../src/scheduler/scheduler.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { CommitBatch, CommitResult } from '../../../src/store/store.ts';
import { during, replace } from '../replace.ts';
import { SimStore } from '../sim-store.ts';
import type { Bug } from './bug.ts';

/** What a journal takes for written that believes that the store has taken the batch. */
function asCommitted({ mutations }: CommitBatch): CommitResult {
  const inserts = mutations
    .filter(({ kind }) => kind === 'insert')
    .map(() => ({ kind: 'inserted' }) as const);
  return { kind: 'committed', inserts };
}

/** Commits with that outcome are taken for written. */
function countAsCommitted(outcome: CommitResult['kind']): void {
  replace(
    SimStore.prototype,
    'commit',
    (original) =>
      async function (batch) {
        const result = await original.call(this, batch);
        return result.kind === outcome ? asCommitted(batch) : result;
      },
  );
}

/** Bugs on the way to the disk, and in what is told before it is there. */
export const WRITING_BUGS: readonly Bug[] = [
  {
    name: 'an insert is acknowledged before its commit',
    plant() {
      replace(
        Journal.prototype,
        'insert',
        (original) =>
          function (mutation) {
            original.call(this, mutation).catch(() => {});
            return Promise.resolve({ kind: 'inserted' });
          },
      );
    },
  },
  {
    name: 'an insert that exists is answered with a new id',
    plant() {
      let newId: SubmissionId = 0n;
      replace(
        Journal.prototype,
        'insert',
        (original) =>
          function (mutation) {
            newId = mutation.record.id;
            return original.call(this, mutation);
          },
      );
      replace(
        Inserts.prototype,
        'insert',
        (original) =>
          async function (wanted) {
            const inserted = original.call(this, wanted);
            const id = newId;
            await inserted;
            return id;
          },
      );
    },
  },
  {
    name: 'ids start anew after a restart',
    plant() {
      replace(
        MemoryStore.prototype,
        'acquire',
        (original) =>
          async function (shards, owner) {
            const grants = await original.call(this, shards, owner);
            return grants.map((grant) => ({ ...grant, highestId: (1_699_999_999_000n << 22n) | 7n }));
          },
      );
    },
  },
  {
    name: 'a cancellation is acknowledged before its commit',
    plant() {
      let outcome: ReturnType<Scheduler<unknown>['cancel']> = 'unknown';
      replace(
        Scheduler.prototype,
        'cancel',
        (original) =>
          function (id, nowMs, by) {
            outcome = original.call(this, id, nowMs, by);
            return outcome;
          },
      );
      replace(
        Endings.prototype,
        'cancel',
        (original) =>
          function (queue, id, by) {
            const cancelled = original.call(this, queue, id, by);
            if (outcome !== 'ending') return cancelled;
            cancelled.catch(() => {});
            return Promise.resolve({ kind: 'cancelled' });
          },
      );
    },
  },
  {
    name: 'chunks are shown as done before their commit',
    plant() {
      const isShowing = during(Reads.prototype, 'chunksDone');
      replace(
        Journal.prototype,
        'committed',
        (original) =>
          function () {
            return isShowing() ? Promise.resolve() : original.call(this);
          },
      );
    },
  },
  {
    name: 'a refused batch is dropped',
    plant: () => countAsCommitted('refused'),
  },
  {
    name: 'an unknown outcome counts as success',
    plant: () => countAsCommitted('unknown'),
  },
  {
    name: 'a seq is skipped',
    plant() {
      replace(
        MemoryStore.prototype,
        'acquire',
        (original) =>
          async function (shards, owner) {
            const grants = await original.call(this, shards, owner);
            return grants.map((grant) => ({ ...grant, lastSeq: grant.lastSeq + 1 }));
          },
      );
    },
  },
  {
    name: 'a page is written to the wrong submission',
    plant() {
      let previousId: SubmissionId | null = null;
      replace(
        Backlog.prototype,
        'cut',
        (original) =>
          function (limits) {
            const batch = original.call(this, limits);
            const mutations = batch.mutations.map((mutation) => {
              if (mutation.kind !== 'page') return mutation;
              const id = previousId ?? mutation.id;
              previousId = mutation.id;
              return { ...mutation, id };
            });
            return { ...batch, mutations };
          },
      );
    },
  },
  {
    name: 'a page is written once only',
    plant() {
      const written = new WeakMap<PagedSubmission, Set<number>>();
      replace(
        Backlog.prototype,
        'pageChanged',
        (original) =>
          function (submission, page) {
            const pages = written.get(submission) ?? new Set();
            written.set(submission, pages);
            const isFirst = !pages.has(page);
            pages.add(page);
            return isFirst && original.call(this, submission, page);
          },
      );
    },
  },
  {
    name: 'an output is written after the page that says its chunk is done',
    plant() {
      const isCutting = during(Backlog.prototype, 'cut');
      // No output is of the page that is written, so none goes first.
      replace(
        ChunkSet,
        'pageOf',
        (original) => (index) => (isCutting() ? -1 : original.call(ChunkSet, index)),
      );
    },
  },
  {
    name: 'a chunk that is done gets another output',
    plant() {
      let journal: Journal | null = null;
      replace(
        Journal.prototype,
        'add',
        (original) =>
          function (mutation) {
            journal = this;
            original.call(this, mutation);
          },
      );
      replace(
        Consumers.prototype,
        'complete',
        (original) =>
          function (consumer, chunk, output) {
            original.call(this, consumer, chunk, output);
            const { submissionId: id, chunkIndex } = chunk;
            if (output !== null) journal?.add({ kind: 'direct_output', id, chunkIndex, content: output });
          },
      );
    },
  },
  {
    name: 'an output is lost',
    plant() {
      replace(
        Journal.prototype,
        'add',
        (original) =>
          function (...mutations) {
            const isLost = mutations.some((each) => each.kind === 'direct_output' && each.chunkIndex === 1);
            if (!isLost) original.call(this, ...mutations);
          },
      );
    },
  },
];
