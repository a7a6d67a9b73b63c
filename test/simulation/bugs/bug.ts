/** A deliberate bug. */
export interface Bug {
  readonly name: string;
  /** Found it once: tried first. */
  readonly seed?: number;
  /** To be called once, before anything runs. */
  plant(): void;
}
