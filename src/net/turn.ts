import type { Clock } from '../system/clock.ts';

/** Something that is to be done once, when the current turn of the event loop ends. */
export interface TurnTask {
  endTurn(): void;
}

/** When a turn ends: a {@link Clock}'s `soon` for the turn of the event loop, `queueMicrotask` for its current callback. */
export type TurnClock = Pick<Clock, 'soon'>;

/**
 * Collects what is to happen at the end of the current turn, so that a thousand messages of one turn cost one
 * callback, and what they caused for one peer leaves as one write.
 */
export class Turn {
  readonly #clock: TurnClock;
  #tasks: TurnTask[] = [];
  #armed = false;

  constructor(clock: TurnClock) {
    this.#clock = clock;
  }

  /** The caller sees to it that a task is not added twice. Tasks that are added by tasks run in the same turn's end. */
  add(task: TurnTask): void {
    this.#tasks.push(task);
    if (this.#armed) return;
    this.#armed = true;
    this.#clock.soon(this.#run);
  }

  readonly #run = (): void => {
    const tasks = this.#tasks;
    // The list grows while it is worked off: a session's end of turn may make its connection write.
    for (let i = 0; i < tasks.length; i++) tasks[i]?.endTurn();
    this.#tasks = [];
    this.#armed = false;
  };
}
