import { PlanCache } from '../../../src/scheduler/plan/cache.ts';
import { Plan, type Selection } from '../../../src/scheduler/plan/plan.ts';
import { Rank } from '../../../src/scheduler/plan/tree.ts';
import { Line, WaitingLines } from '../../../src/scheduler/waiting-lines.ts';
import { replace, replaceGetter } from '../replace.ts';
import type { Bug } from './bug.ts';

/** Bugs of strategies that select and limit. */
export const SELECTING_BUGS: readonly Bug[] = [
  {
    name: 'a limit is exceeded by one',
    plant() {
      replaceGetter(
        Rank.prototype,
        'isAtLimit',
        () =>
          function () {
            return this.metaValue !== null && this.metaValue.inFlight > this.level.max;
          },
      );
    },
  },
  {
    name: 'who waits is not woken when a limit has room again',
    plant() {
      replace(PlanCache.prototype, 'takeFreed', () => () => []);
    },
  },
  {
    name: 'a plan shared by two selections answers with what was selected before',
    plant() {
      const last = new WeakMap<object, Selection>();
      replace(
        Plan.prototype,
        'first',
        (original) =>
          function (selection) {
            const before = last.get(this) ?? selection;
            last.set(this, selection);
            return original.call(this, before);
          },
      );
    },
  },
  {
    name: 'what a selection excluded stays excluded for those who come after',
    plant() {
      replace(Plan.prototype, 'release', () => () => undefined);
    },
  },
  {
    name: 'who waits for some values is not found by an insert that carries one of them',
    plant() {
      replace(
        Line.prototype,
        'admits',
        (original) =>
          function (submission) {
            const selects = this.selector.alternatives.some(({ only }) => only.size > 0);
            return !selects && original.call(this, submission);
          },
      );
    },
  },
  {
    name: 'who waits with a selection is served as if it had none',
    plant() {
      replace(
        WaitingLines.prototype,
        'lineFor',
        (original) =>
          function (strategy) {
            const isBare = strategy.kind !== 'select_only' && strategy.kind !== 'select_except';
            return original.call(this, isBare ? strategy : strategy.underlying);
          },
      );
    },
  },
];
