import { ConsumerClient } from '../../../src/consumer/client.ts';
import type { ConsumerClientOptions } from '../../../src/consumer/index.ts';
import type { StartTransport } from '../../../src/consumer/thread/handle.ts';
import type { SubmissionFacts } from '../../../src/model/submission.ts';
import { cborChunkCodec } from '../../../src/protocol/chunk/codec.ts';
import type { ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';
import { withParts } from '../../../src/system/parts.ts';
import type { Clock } from '../../../src/system/time/clock.ts';
import {
  type FakeConnection,
  FakeQueue,
  type FakeQueueOptions,
  fakeChunk,
  fakeSubmission,
} from '../fakes/fake-queue.ts';
import { inlineTransport } from '../fakes/inline-transport.ts';
import { type RecordingLogger, recordingLogger } from '../fakes/recording-logger.ts';
import { TempStore } from '../objects/temp-store.ts';

export const cbor = cborChunkCodec();

export interface SceneOptions extends FakeQueueOptions {
  readonly client?: ConsumerClientOptions;
  /** Default: on the test's own thread, which is quicker. */
  readonly startTransport?: StartTransport | 'thread';
  /** Of the calling thread; default: the system's. */
  readonly clock?: Clock;
}

/** A consumer, a queue that the test plays, and an object store in a folder. */
export class Scene implements AsyncDisposable {
  readonly queue: FakeQueue;
  readonly objects: TempStore;
  readonly consumer: ConsumerClient;
  readonly logger: RecordingLogger;
  readonly submission: SubmissionFacts = fakeSubmission();

  private constructor(queue: FakeQueue, objects: TempStore, options: SceneOptions) {
    this.queue = queue;
    this.objects = objects;
    this.logger = recordingLogger();
    const { startTransport = inlineTransport } = options;
    const client = { logger: this.logger, ...options.client };
    this.consumer = new ConsumerClient(
      queue.url,
      objects.url,
      withParts(client, {
        ...(startTransport === 'thread' ? {} : { startTransport }),
        ...(options.clock === undefined ? {} : { clock: options.clock }),
      }),
    );
  }

  static async open(options: SceneOptions = {}): Promise<Scene> {
    return new Scene(await FakeQueue.start(options), await TempStore.create(), options);
  }

  /** Uploads the operations of a chunk. */
  async chunk(chunkIndex: number, ops: readonly unknown[]): Promise<ReservedChunkMessage> {
    await this.objects.putInput(this.submission.prefix ?? '', chunkIndex, cbor.encode(ops));
    return fakeChunk(this.submission, chunkIndex);
  }

  async results(chunkIndex: number): Promise<unknown[]> {
    return cbor.decode(await this.objects.readOutput(this.submission.prefix ?? '', chunkIndex));
  }

  /** Waits for the connection and answers its first reservation. */
  async serve(...chunks: ReservedChunkMessage[]): Promise<FakeConnection> {
    const connection = await this.queue.connection();
    connection.answer((await connection.until('reserve')).nonce, chunks);
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.consumer.close();
    await this.queue.stop();
    await this.objects[Symbol.asyncDispose]();
  }
}

/** Waits for the end of a run that may reject. */
export async function quietly(run: Promise<unknown>): Promise<void> {
  await run.catch(() => {});
}
