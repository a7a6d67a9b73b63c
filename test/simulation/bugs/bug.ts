/** A deliberate bug. */
export interface Bug {
  readonly name: string;
  /** How many nodes share the store; default 1, which has it for itself. */
  readonly nodes?: number;
  /** Runs with several queues, or in which work is paused and changed, are tried first: the others hardly find it. */
  readonly needs?: 'queues' | 'controls';
  /** How long a run is that finds it. Default 1000, of several nodes 2000. */
  readonly steps?: number;
  /** To be called once, before anything runs. */
  plant(): void;
}
