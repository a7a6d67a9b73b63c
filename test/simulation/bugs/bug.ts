/** A deliberate bug. */
export interface Bug {
  readonly name: string;
  /** How many nodes share the store; default 1, which has it for itself. */
  readonly nodes?: number;
  /** Found it once: tried first. */
  readonly seed?: number;
  /** To be called once, before anything runs. */
  plant(): void;
}
