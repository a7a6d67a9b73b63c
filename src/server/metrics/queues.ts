import { Counter, Gauge, type Registry } from 'prom-client';
import { submissionIdTimeMs } from '../../model/ids.ts';
import type { Queue, QueueFigures } from '../../queue/queue.ts';
import type { QueueCounters } from '../../queue/stats/by-queue.ts';
import type { Clock } from '../../system/time/clock.ts';

/** What is told of each queue, in the label `queue`. */
export function registerQueues(registry: Registry, queue: Queue, clock: Clock): void {
  registerGauges(registry, queue, clock);
  registerCounters(registry, queue);
}

function registerGauges(registry: Registry, queue: Queue, clock: Clock): void {
  const gauge = (
    name: string,
    help: string,
    value: (figures: QueueFigures) => number,
    join: (a: number, b: number) => number = (a, b) => a + b,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: ['queue'],
      registers: [registry],
      collect() {
        const values = new Map<string, number>();
        for (const figures of queue.figures()) {
          const known = values.get(figures.label);
          const own = value(figures);
          values.set(figures.label, known === undefined ? own : join(known, own));
        }
        this.reset();
        for (const [label, each] of values) this.set({ queue: label }, each);
      },
    });
  gauge(
    'submissions_in_backlog_count',
    'Number of submissions in progress',
    (of) => of.counts.submissionsOpen,
  );
  gauge(
    'queue_chunks_waiting_count',
    'Number of chunks that could be handed out',
    (of) => of.counts.chunksAvailable,
  );
  gauge(
    'queue_chunks_reserved_count',
    'Number of chunks that consumers have reserved',
    (of) => of.counts.chunksReserved,
  );
  gauge(
    'chunks_delayed_count',
    'Number of chunks that wait for their next try',
    (of) => of.counts.chunksDelayed,
  );
  gauge(
    'submissions_paused_count',
    'Number of submissions in progress that are paused, by themselves, with their queue or with the server, or not to be started yet',
    (of) => of.counts.submissionsPaused,
  );
  gauge(
    'chunks_paused_count',
    'Number of chunks that are not handed out because the submission, the queue or the server is paused, or the submission not to be started yet',
    (of) => of.counts.chunksPaused,
  );
  gauge(
    'chunks_set_aside_count',
    'Number of chunks of submissions in progress that are out of tries and set aside',
    (of) => of.counts.chunksFailed,
  );
  gauge(
    'reserver_reservations_waiting_count',
    'Number of reservations that wait for a chunk',
    (of) => of.counts.requestsWaiting,
  );
  gauge(
    'queue_consumers_connected_count',
    'Number of consumers that are connected',
    (of) => of.counts.consumers,
  );
  gauge(
    'consumers_sick_count',
    'Number of consumers that are slowed down: their last chunks all failed while others completed theirs',
    (of) => of.counts.consumersSick,
  );
  gauge(
    'oldest_waiting_seconds',
    'How long the oldest submission of which a chunk waits to be handed out has been in the queue; 0 if none waits',
    ({ oldestWaiting }) => {
      const id = oldestWaiting();
      return id === null ? 0 : Math.max(0, clock.nowMs() - submissionIdTimeMs(id)) / 1000;
    },
    Math.max,
  );
}

function registerCounters(registry: Registry, queue: Queue): void {
  const counter = (name: string, help: string, value: (counters: QueueCounters) => number) =>
    new Counter({
      name,
      help,
      labelNames: ['queue'],
      registers: [registry],
      collect() {
        this.reset();
        for (const each of queue.stats.byQueue.counters()) this.inc({ queue: each.label }, value(each));
      },
    });
  counter('queue_chunks_completed_count', 'Number of chunks completed', (of) => of.chunksCompleted);
  counter(
    'consumers_paused_count',
    'Number of pauses of consumers whose last chunks all failed while others completed theirs',
    (of) => of.consumersPaused,
  );
  new Counter({
    name: 'chunks_setbacks_total',
    help: 'Chunks handed out in vain, whether they get another try or not: failed (reported by the consumer), expired, or disconnected',
    labelNames: ['kind', 'queue'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { label, setbacks } of queue.stats.byQueue.counters()) {
        for (const [kind, count] of Object.entries(setbacks)) this.inc({ kind, queue: label }, count);
      }
    },
  });
}
