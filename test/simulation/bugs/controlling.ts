import type { Control } from '../../../src/model/control.ts';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { NamedQueue } from '../../../src/queue/named-queue.ts';
import { Verbs } from '../../../src/queue/verbs/verbs.ts';
import { MetaTable } from '../../../src/scheduler/metadata.ts';
import { Scheduler } from '../../../src/scheduler/scheduler.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { during, replace } from '../replace.ts';
import type { Bug } from './bug.ts';
import { wakesNobody } from './scheduling.ts';

/** What is loaded at a restart is without this. */
function forgottenAtRestart(forgotten: Partial<Control>): void {
  replace(
    Scheduler.prototype,
    'insert',
    (original) =>
      function (record, nowMs, progress, controlAt) {
        const isLoaded = progress !== undefined && controlAt !== undefined;
        const changed = isLoaded
          ? { ...controlAt, control: { ...controlAt.control, ...forgotten } }
          : controlAt;
        return original.call(this, record, nowMs, progress, changed);
      },
  );
}

/** Bugs of what operators and producers do in the middle of the work. */
export const CONTROLLING_BUGS: readonly Bug[] = [
  { name: 'a pause is forgotten at a restart', plant: () => forgottenAtRestart({ pauses: [] }) },
  {
    name: 'a start is forgotten at a restart',
    plant: () => forgottenAtRestart({ startAfterMs: null }),
  },
  {
    name: 'a deadline is forgotten at a restart',
    plant: () => forgottenAtRestart({ deadlineMs: null }),
  },
  {
    name: 'the pause of a queue is forgotten at a restart',
    plant() {
      replace(MemoryStore.prototype, 'scopeControls', () => async () => new Map());
    },
  },
  {
    name: 'a resume lifts the pauses of other causes',
    plant() {
      replace(
        NamedQueue.prototype,
        'control',
        (original) =>
          function (id, control) {
            const isResumed = control.history.at(-1)?.verb === 'resume';
            return original.call(this, id, isResumed ? { ...control, pauses: [] } : control);
          },
      );
    },
  },
  {
    name: 'a pause is acknowledged before its commit',
    plant() {
      const isRunning = during(Verbs.prototype, 'run');
      replace(
        Journal.prototype,
        'committed',
        (original) =>
          function () {
            return isRunning() ? Promise.resolve() : original.call(this);
          },
      );
    },
  },
  {
    name: 'metadata that is set leaves what is in flight at the old value',
    plant() {
      replace(
        MetaTable.prototype,
        'move',
        (original) =>
          function (carrier, from, to) {
            original.call(this, carrier, from, to, 0);
          },
      );
    },
  },
  { name: 'a resume wakes nobody', plant: () => wakesNobody('control') },
];
