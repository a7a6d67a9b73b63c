/**
 * Rare things that no port of the queue reaches: how a batch is cut, who is woken, what the engine decides. Each replaces
 * a method, once for all runs of this process; the runs come one after the other.
 */
import { QueueEvents } from '../../src/queue/events.ts';
import { Backlog } from '../../src/queue/journal/backlog.ts';
import { Journal } from '../../src/queue/journal/journal.ts';
import { PlanCache } from '../../src/scheduler/plan/cache.ts';
import { SetbackRules } from '../../src/scheduler/setbacks.ts';
import { SickConsumers } from '../../src/scheduler/sick-consumers.ts';
import { Outbox } from '../../src/server/consumers/outbox.ts';
import { sleep } from '../../src/system/time/clock.ts';
import { type Instant, instantOf } from '../../src/system/time/instant.ts';
import type { Caprices } from './capricious.ts';
import type { RarePlace } from './rare-places.ts';
import { replace, replaceGetter } from './replace.ts';
import type { SimClock } from './sim-clock.ts';

interface Ruling {
  readonly caprices: Caprices;
  readonly time: SimClock;
}

let ruling: Ruling | null = null;

/** From now on these say when something rare happens. */
export function ruleRareMethods(those: Ruling): void {
  ruling = those;
}

/** By the clocks of the process that runs; null: none does. */
export function nowOfNode(): Instant | null {
  const running = ruling?.time.running ?? null;
  return running === null ? null : instantOf(running);
}

function rarely(place: Extract<RarePlace, `method: ${string}`>): boolean {
  return ruling?.caprices.rarely(place) ?? false;
}

async function perhapsLater(): Promise<void> {
  if (ruling === null || !rarely('method: who waits for a commit hears of it late')) return;
  const { caprices, time } = ruling;
  if (time.running !== null) await sleep(time.running, caprices.int(300));
}

replace(
  Backlog.prototype,
  'cut',
  (original) =>
    function (limits) {
      if (rarely('method: a batch of one mutation'))
        return original.call(this, { ...limits, mutationsMax: 1 });
      if (rarely('method: a batch of few bytes')) return original.call(this, { ...limits, bytesMax: 700 });
      return original.call(this, limits);
    },
);

replace(
  Journal.prototype,
  'insert',
  (original) =>
    async function (mutation) {
      const result = await original.call(this, mutation);
      await perhapsLater();
      return result;
    },
);

replace(
  Journal.prototype,
  'committed',
  (original) =>
    async function () {
      await original.call(this);
      await perhapsLater();
    },
);

replace(
  SickConsumers.prototype,
  'chunksMax',
  (original) =>
    function (consumer) {
      const max = original.call(this, consumer);
      return rarely('method: an answer of one chunk') ? Math.min(max, 1) : max;
    },
);

replace(
  PlanCache.prototype,
  'entryFor',
  (original) =>
    function (spec) {
      if (rarely('method: a plan is made anew')) for (const plan of this.plans) plan.isOutgrown = true;
      return original.call(this, spec);
    },
);

replace(
  SetbackRules.prototype,
  'failed',
  (original) =>
    function (before, failure, record) {
      const setback = original.call(this, before, failure, record);
      if (!rarely('method: a failed chunk is delayed')) return setback;
      return { ...setback, delayMs: Math.max(setback.delayMs, 100) };
    },
);

replace(
  SetbackRules.prototype,
  'disconnected',
  (original) =>
    function (before, times, nowMs) {
      const setback = original.call(this, before, times, nowMs);
      if (!rarely('method: the first broken connection delays')) return setback;
      return { ...setback, delayMs: Math.max(setback.delayMs, 100) };
    },
);

replace(
  QueueEvents.prototype,
  'subscribe',
  (original) =>
    function (max, take) {
      return original.call(this, max, (batch) => {
        const missed = batch.missed + (rarely('method: woken for nothing') ? 1 : 0);
        take({ ...batch, missed });
      });
    },
);

replaceGetter(
  Outbox.prototype,
  'isEmpty',
  (original) =>
    function () {
      return original.call(this) && !rarely('method: an answer goes the long way');
    },
);
