import { parseQueueAddresses } from '../../net/address/queue-addresses.ts';
import { WsClient } from '../../net/websocket/client.ts';
import { BoundedStore } from '../../objects/bounded-store.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import type { Clock } from '../../system/time/clock.ts';
import { ChunkBodies } from '../content/bodies.ts';
import type { TransportEvent, TransportSetup, WorkCommand } from '../thread/protocol.ts';
import { Transport } from './transport.ts';

/** Where a transport lives. */
export interface TransportSurroundings {
  readonly clock: Clock;
  readonly random: Random;
  emit(event: TransportEvent): void;
}

/** A transport with its connection and its object store. */
export interface OpenTransport {
  handle(command: WorkCommand): void;
  /** Ends the connection in good order, and everything else. */
  close(): Promise<void>;
}

/**
 * Opens a transport. `early` are the commands that came meanwhile: the connection announces the concurrency of
 * their runs.
 */
export async function openTransport(
  setup: TransportSetup,
  { clock, random, emit }: TransportSurroundings,
  early: () => readonly WorkCommand[],
): Promise<OpenTransport> {
  const logger = eventLogger(emit);
  const { objectStore, transferLimits } = setup;
  const { transfersMax, transferMsMax } = transferLimits;
  const context = { clock, random, logger };
  const store =
    objectStore === null
      ? null
      : new BoundedStore({ store: objectStore.url, options: objectStore.options, transferMsMax, context });
  await store?.open();
  const client = new WsClient(
    {
      queue: parseQueueAddresses(setup.queueUrl),
      route: setup.queueRoute,
      clock,
      random,
      logger,
      concurrency: () => transport.concurrency,
      frameBytesMax: setup.frameBytesMax,
    },
    {
      connected: (init) => transport.connected(init),
      message: (message) => transport.message(message),
      disconnected: (reason) => transport.disconnected(reason),
    },
  );
  const transport: Transport = new Transport({
    link: client,
    bodies: store === null ? null : new ChunkBodies(store, clock, transfersMax),
    clock,
    logger,
    emit,
    handleBase: setup.handleBase,
    pulse: setup.pulse,
  });
  for (const command of early()) transport.handle(command);
  client.start();
  return {
    handle: (command) => transport.handle(command),
    async close() {
      transport.close();
      await Promise.all([client.stop(), store?.close()]);
    },
  };
}

/** Logs on the calling thread, where the user's logger is. */
function eventLogger(emit: (event: TransportEvent) => void): Logger {
  const level = (name: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) =>
    emit({ kind: 'log', level: name, fields, message });
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') };
}
