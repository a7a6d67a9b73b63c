/** The public API of `opsqueue`: all of `opsqueue/producer`, `opsqueue/consumer` and `opsqueue/server` again. */
import './system/node-version.ts';

// Names that both clients have.
export type { RunOptions as ConsumerRunOptions } from './consumer/index.ts';
export * from './consumer/index.ts';
export type { OperationCodec, RunOptions, RunOptions as ProducerRunOptions } from './producer/index.ts';
export * from './producer/index.ts';
export * from './server/index.ts';
