/** The public API of `opsqueue`: all of `opsqueue/producer`, `opsqueue/consumer` and `opsqueue/server` again. */
import './system/node-version.ts';

export * from './consumer/index.ts';
export * from './producer/index.ts';
export * from './server/index.ts';
