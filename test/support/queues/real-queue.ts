import { ConsumerClient, type ConsumerClientOptions } from '../../../src/consumer/index.ts';
import { ProducerClient, type ProducerClientOptions } from '../../../src/producer/index.ts';
import { type ServerOptions, startServer } from '../../../src/server/index.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { withoutExtensions } from '../network/without-extensions.ts';
import { TempStore } from '../objects/temp-store.ts';

/** A queue with nothing on disk, chunks in a folder, a producer, and as many consumers as the test wants. */
export async function realQueue(
  options: Omit<ServerOptions, 'store'> = {},
  store: Store = new MemoryStore(),
) {
  const stack = new AsyncDisposableStack();
  const objects = stack.use(await TempStore.create());
  const server = await startServer({ hosts: ['127.0.0.1'], port: 0, ...options, store });
  stack.defer(() => server.stop());
  const url = `127.0.0.1:${server.port}`;
  const producer = new ProducerClient(url, objects.url);
  stack.defer(() => producer.close());
  const produce = <Op = unknown, Result = unknown>(options: ProducerClientOptions = {}) =>
    stack.use(new ProducerClient<Op, Result>(url, objects.url, options));
  const consume = (options: ConsumerClientOptions = {}) =>
    stack.use(new ConsumerClient(url, objects.url, options));
  /** Of a queue that cannot extend reservations. */
  const consumeUnextended = async () => {
    const { port } = stack.use(await withoutExtensions(server.port));
    return stack.use(new ConsumerClient(`127.0.0.1:${port}`, objects.url));
  };
  return {
    url,
    objects,
    store,
    producer,
    produce,
    consume,
    consumeUnextended,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
