/** The transport thread: everything between the sockets and the calling thread, which may be blocked for minutes. */
import { parentPort, workerData } from 'node:worker_threads';
import { OpsqueueError } from '../../model/errors.ts';
import { parseQueueUrl } from '../../net/queue-url.ts';
import { WsClient } from '../../net/ws-client.ts';
import { openObjectStore } from '../../objects/open.ts';
import { systemClock } from '../../system/clock.ts';
import type { Logger } from '../../system/logger.ts';
import { systemRandom } from '../../system/random.ts';
import type { Command, TransportEvent, TransportSetup } from '../messages.ts';
import { Batch } from './batch.ts';
import { ChunkBodies } from './bodies.ts';
import { Transport } from './transport.ts';

const port = parentPort;
if (port === null) throw new Error('the transport of a consumer runs in a worker thread');
const setup: TransportSetup = workerData;

const outgoing = new Batch<TransportEvent>(systemClock, bodiesOf, (events, transfer) =>
  port.postMessage(events, transfer),
);
const emit = (event: TransportEvent) => outgoing.add(event);

function bodiesOf(event: TransportEvent): readonly (Uint8Array | null)[] {
  if (event.kind === 'ready') return [event.chunk.input];
  if (event.kind === 'reserved') return event.chunks.map(({ input }) => input);
  return [];
}

function loggerOver(tell: (event: TransportEvent) => void): Logger {
  const level = (name: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) =>
    tell({ kind: 'log', level: name, fields, message });
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') };
}

const logger = loggerOver(emit);

async function main(incoming: NonNullable<typeof port>): Promise<void> {
  const commands: Command[] = [];
  let take = (command: Command): void => void commands.push(command);
  incoming.on('message', (batch: readonly Command[]) => {
    for (const command of batch) take(command);
  });
  const store =
    setup.objectStore === null
      ? null
      : await openObjectStore(setup.objectStore.url, setup.objectStore.options, { clock: systemClock });
  const client = new WsClient(
    {
      url: parseQueueUrl(setup.queueUrl),
      clock: systemClock,
      random: systemRandom,
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
    bodies: store === null ? null : new ChunkBodies(store, systemClock, setup.transfersMax),
    clock: systemClock,
    logger,
    emit,
    handleBase: setup.handleBase,
  });
  take = (command) => {
    transport.handle(command);
    if (command.kind !== 'close') return;
    void Promise.all([client.stop(), store?.close()]).finally(() => {
      outgoing.flush();
      incoming.close();
    });
  };
  // The runs come first: the connection announces their concurrency.
  for (const command of commands.splice(0)) take(command);
  client.start();
}

main(port).catch((error: unknown) => {
  const code = error instanceof OpsqueueError ? error.code : 'CONSUMER_THREAD';
  emit({ kind: 'fatal', code, message: error instanceof Error ? error.message : String(error) });
  outgoing.flush();
  port.close();
});
