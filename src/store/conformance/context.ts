import type { StoreSession } from './session.ts';

/** How tests are registered: `describe` and `test` of `node:test`, Vitest, Jest, Mocha. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown;
  test(name: string, body: () => Promise<void>): unknown;
}

/** What each part of the suite works with. */
export interface ConformanceContext extends TestRunner {
  /** The name of the store, for the titles. */
  readonly name: string;
  /** Opens an empty store for the time of `run`. */
  use(run: (session: StoreSession) => Promise<void>): Promise<void>;
}
