import { Consumers } from '../../../src/queue/consumers.ts';
import { LongPolls } from '../../../src/queue/long-polls.ts';
import { Reservation } from '../../../src/scheduler/state.ts';
import { Outbox } from '../../../src/server/consumers/outbox.ts';
import { ConsumerSession } from '../../../src/server/consumers/session.ts';
import { during, replace, replaceGetter } from '../replace.ts';
import type { Bug } from './bug.ts';

/** Bugs in what peers are told, and in how they are served. */
export const ANSWERING_BUGS: readonly Bug[] = [
  {
    name: 'a renewal is forgotten',
    plant() {
      replace(Consumers.prototype, 'extend', () => () => {});
    },
  },
  {
    name: 'an answer that took time still has what was done meanwhile',
    plant() {
      const isMakingLate = during(Outbox.prototype, 'pump');
      replaceGetter(
        Reservation.prototype,
        'isHeld',
        (original) =>
          function () {
            return isMakingLate() || original.call(this);
          },
      );
    },
  },
  {
    name: 'a long poll never times out',
    plant() {
      replace(
        LongPolls.prototype,
        'wait',
        (original) =>
          function (submission, doneAbove, _waitMs, wake) {
            return original.call(this, submission, doneAbove, 2 ** 40, wake);
          },
      );
    },
  },
  {
    name: 'a consumer that held too much is never served again',
    plant() {
      const isCatchingUp = during(ConsumerSession.prototype, 'endTurn');
      replace(
        Consumers.prototype,
        'reserve',
        (original) =>
          function (consumer, request) {
            if (!isCatchingUp()) original.call(this, consumer, request);
          },
      );
    },
  },
  {
    name: 'a consumer that sent too much is never read again',
    plant() {
      replace(Consumers.prototype, 'onceRelieved', () => () => {});
    },
  },
  {
    name: 'dead consumers are not noticed',
    plant() {
      // Each ping counts as a sign of life.
      replace(
        ConsumerSession.prototype,
        'ping',
        (original) =>
          function () {
            original.call(this);
            this.alive();
          },
      );
    },
  },
];
