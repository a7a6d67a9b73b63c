/** A deliberate bug. */
export interface Bug {
  readonly name: string;
  /** To be called once, before anything runs. */
  plant(): void;
}
