/** A value that may have only so many chunks in flight. */
export interface Limit {
  /** There is no room. */
  readonly isAtLimit: boolean;
  /** Somebody is to look when there is room: its plan tells of that, until `forgoRoom`. */
  awaitRoom(): void;
  forgoRoom(): void;
}
