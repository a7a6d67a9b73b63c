import { Endings } from '../../../src/queue/endings.ts';
import { NamedQueue } from '../../../src/queue/named-queue.ts';
import { Queue } from '../../../src/queue/queue.ts';
import { Reads } from '../../../src/queue/reads.ts';
import { Schedules } from '../../../src/queue/shard/schedules.ts';
import type { LoadedSubmission } from '../../../src/store/store.ts';
import { replace, replaceGetter } from '../replace.ts';
import type { Bug } from './bug.ts';

/** Those of the simulation. */
const QUEUES = ['', 'images', 'bills'];

/** Bugs of the many queues on one server: what leaks from one into another, and what is lost between them. */
export const QUEUE_BUGS: readonly Bug[] = [
  {
    name: 'a consumer is registered with the schedule of another queue',
    plant() {
      replace(Queue.prototype, 'consumersOf', (original) => {
        let connections = 0;
        return function (queue) {
          return original.call(this, ++connections % 10 === 0 ? 'images' : queue);
        };
      });
    },
  },
  {
    name: 'a restart forgets the queues of submissions',
    plant() {
      replace(
        Schedules.prototype,
        'insert',
        (original) =>
          function (submissions) {
            const unnamed = ({ record, ...rest }: LoadedSubmission) => ({
              ...rest,
              record: { ...record, queue: '' },
            });
            original.call(this, submissions.map(unnamed));
          },
      );
    },
  },
  {
    name: 'a queue is dropped while a consumer is connected',
    plant() {
      replaceGetter(
        NamedQueue.prototype,
        'isIdle',
        () =>
          function () {
            return !this.scheduler.hasSubmissions && this.insertsPending === 0;
          },
      );
    },
  },
  {
    name: 'a queue is dropped while an insert waits for its commit',
    plant() {
      replaceGetter(
        NamedQueue.prototype,
        'isIdle',
        () =>
          function () {
            return !this.scheduler.hasSubmissions && this.scheduler.counts.consumers === 0;
          },
      );
    },
  },
  {
    name: 'a submission is found in every queue',
    plant() {
      replace(
        Reads.prototype,
        'status',
        (original) =>
          async function (_queue, id) {
            for (const queue of QUEUES) {
              const status = await original.call(this, queue, id);
              if (status !== null) return status;
            }
            return null;
          },
      );
    },
  },
  {
    name: 'a submission is cancelled from every queue',
    plant() {
      replace(
        Endings.prototype,
        'cancel',
        (original) =>
          async function (_queue, id) {
            for (const queue of QUEUES) {
              const result = await original.call(this, queue, id);
              if (result.kind !== 'unknown') return result;
            }
            return { kind: 'unknown' };
          },
      );
    },
  },
];
