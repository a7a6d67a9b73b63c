import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { type ServerOptions, startServer } from '../../src/server/index.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { TempStore } from './temp-store.ts';

/** A queue with nothing on disk, chunks in a folder, a producer, and as many consumers as the test wants. */
export async function realQueue(options: ServerOptions = {}) {
  const stack = new AsyncDisposableStack();
  const objects = stack.use(await TempStore.create());
  const server = await startServer({ hosts: ['127.0.0.1'], port: 0, store: new MemoryStore(), ...options });
  stack.defer(() => server.stop());
  const url = `127.0.0.1:${server.port}`;
  const producer = new ProducerClient(url, objects.url);
  stack.defer(() => producer.close());
  const consume = () => stack.use(new ConsumerClient(url, objects.url));
  return { url, objects, producer, consume, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
