/** The public API of `opsqueue/store/conformance`: the tests that every store has to pass. */

import '../../system/entry/node-version.ts';

export type { TestRunner } from './context.ts';
export type { StoreFixture } from './session.ts';
export { type StoreConformanceOptions, storeConformance } from './suite.ts';
