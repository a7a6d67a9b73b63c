/** The public API of `opsqueue/server`. */

import '../system/entry/node-version.ts';
import '../system/entry/bundle-begin.ts';
import type { HttpAddress } from '../net/http/server.ts';
import { openStore } from '../store/open.ts';
import type { ServerOptions } from './options.ts';
import { Server } from './server.ts';
import { checkedSettings } from './settings.ts';
import '../system/entry/bundle-end.ts';

export { IncorrectUsageError, OpsqueueError } from '../model/errors.ts';
export { VERSION } from '../model/version.ts';
export { ListenError } from '../net/http/server.ts';
export { StoreError } from '../store/errors.ts';
export type { Store } from '../store/store.ts';
export type { Logger, LogStats } from '../system/log/logger.ts';
export type { HttpAddress, ServerOptions };

/** A queue that is up. */
export interface RunningServer extends AsyncDisposable {
  readonly port: number;
  readonly addresses: readonly HttpAddress[];
  /**
   * Ends it within a second; idempotent. What was acknowledged is on disk. Before that, where several nodes share a store,
   * the others get ready to take over, for 10 seconds at most.
   */
  stop(): Promise<void>;
  /** Resolves when it has stopped; rejects with the reason if its store was lost. */
  readonly ended: Promise<void>;
}

/**
 * Runs a queue: listens, opens and loads its store, and resolves when it takes requests.
 *
 * @throws IncorrectUsageError for an option, ListenError for the address, StoreError for the store, the reason of the signal
 */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const settings = checkedSettings(options);
  const { signal } = options;
  const { databaseFilename, logger, store: given = `sqlite:${databaseFilename}` } = settings;
  await using failure = new AsyncDisposableStack();
  if (typeof given !== 'string') failure.defer(() => given.close());
  // Before the database is opened: a port that is taken must not leave a new file behind.
  const server = await Server.listen(settings);
  failure.defer(() => server.stop());
  const stop = () => void server.stop();
  signal?.addEventListener('abort', stop, { once: true });
  using _ = { [Symbol.dispose]: () => signal?.removeEventListener('abort', stop) };
  const store =
    typeof given === 'string'
      ? await openStore(given, { logger, signal, waiting: (reason) => server.waits(reason) })
      : given;
  signal?.throwIfAborted();
  await server.open(store);
  signal?.throwIfAborted();
  failure.move();
  const addresses = server.addresses;
  return {
    port: addresses[0]?.port ?? 0,
    addresses,
    stop: () => server.stop(),
    ended: server.ended,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
