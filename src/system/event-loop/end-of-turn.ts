import type { Clock } from '../time/clock.ts';

/** Something that is to be done once, when the current turn of the event loop ends. */
export interface TurnTask {
  endTurn(): void;
}

/** When a turn ends: a {@link Clock}'s `soon` for the turn of the event loop, {@link promptly} for its current callback. */
export type TurnClock = Pick<Clock, 'soon'>;

/**
 * What came in with one read is answered at its end, not at the end of the event loop's turn: while one client reads
 * its answer, the next one's messages are worked on (a single connection gets a tenth more done).
 *
 * But every `promptMax`-th time the event loop ends its turn first. libuv polls again, up to 48 times, as long as each
 * poll finds 1024 sockets ready; if every answer left at once, 2 000 busy consumers would be ready again by then, and
 * timers, heartbeats and new connections would wait for seconds.
 */
export function promptly(clock: TurnClock, promptMax = PROMPT_MAX_DEFAULT): TurnClock {
  let prompt = 0;
  return {
    soon(run) {
      if (++prompt <= promptMax) {
        queueMicrotask(run);
        return;
      }
      clock.soon(() => {
        prompt = 0;
        run();
      });
    },
  };
}

const PROMPT_MAX_DEFAULT = 128;

/** Returns a function that asks for `run` at the end of the turn; however often it is asked for, it runs once. */
export function oncePerTurn(clock: TurnClock, run: () => void): () => void {
  let isDue = false;
  const endTurn = () => {
    isDue = false;
    run();
  };
  return () => {
    if (isDue) return;
    isDue = true;
    clock.soon(endTurn);
  };
}

/**
 * Collects what is to happen at the end of the current turn, so that a thousand messages of one turn cost one
 * callback, and what they caused for one peer leaves as one write.
 */
export class EndOfTurn {
  readonly #arm: () => void;
  #tasks: TurnTask[] = [];
  #isRunning = false;

  constructor(clock: TurnClock) {
    this.#arm = oncePerTurn(clock, () => this.#run());
  }

  /** The caller sees to it that a task is not added twice. Tasks that are added by tasks run in the same turn's end. */
  add(task: TurnTask): void {
    this.#tasks.push(task);
    if (!this.#isRunning) this.#arm();
  }

  #run(): void {
    const tasks = this.#tasks;
    this.#isRunning = true;
    // The list grows while it is worked off: a session's end of turn may make its connection write.
    for (let i = 0; i < tasks.length; i++) tasks[i]?.endTurn();
    this.#isRunning = false;
    this.#tasks = [];
  }
}
