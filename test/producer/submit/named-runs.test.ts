import assert from 'node:assert/strict';
import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  IncorrectUsageError,
  ObjectStoreError,
  ProducerClient,
  type RunSubmissionOptions,
  SourceChangedError,
  SubmissionCancelledError,
  SubmissionConflictError,
  SubmissionFailedError,
} from '../../../src/producer/index.ts';
import { withParts } from '../../../src/system/parts.ts';
import { type WatchedStore, watchedStore } from '../../support/fakes/watched-store.ts';
import { realQueue } from '../../support/queues/real-queue.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

const RUN: RunSubmissionOptions = { name: 'nightly-2026-01-05', chunkSize: 10 };
const numbers = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i);
const doubled = (ops: readonly number[]) => ops.map((n) => n * 2);

/** A queue with a consumer that doubles, unless it is told not to, and producers that count what they put. */
async function setUp(options: { readonly isIdle?: boolean } = {}) {
  const stack = new AsyncDisposableStack();
  const queue = stack.use(await realQueue());
  const consume = () => {
    const consumer = queue.consume();
    const running = consumer.runEachOp((n: number) => n * 2);
    stack.defer(async () => {
      await consumer.stop();
      await running;
    });
  };
  if (!options.isIdle) consume();
  /**
   * @param failAt the put of this chunk fails, as if the program ended there
   * @param isOneByOne reads on when a chunk is there, and its digest
   */
  const producer = (
    o: {
      readonly failAt?: number;
      readonly url?: string;
      readonly clock?: ManualClock;
      readonly isOneByOne?: boolean;
    } = {},
  ) => {
    const store = watchedStore(queue.objects.store, {
      put: async (key) => {
        if (key === `${RUN.name}/${o.failAt}-in.bin`) throw new Error('the producer broke off');
        return undefined;
      },
    });
    const parts = o.clock === undefined ? {} : { clock: o.clock };
    // One after the other, so that all chunks in front of the one that fails are there, and no other.
    const { isOneByOne = o.failAt !== undefined } = o;
    const options = withParts({ transfersMax: isOneByOne ? 1 : 4 }, parts);
    const client = stack.use(new ProducerClient<number, number>(o.url ?? queue.url, store, options));
    return { client, store };
  };
  const quiet = () => queue.consume({ logger: null });
  return { ...queue, consume, quiet, producer, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** The chunks that it put, in order. */
function chunksPut({ puts }: WatchedStore): number[] {
  return puts.filter((key) => key.endsWith('-in.bin')).map((key) => Number.parseInt(key.split('/')[1]!, 10));
}

const readAll = (
  client: ProducerClient<number, number>,
  ops: Iterable<number>,
  more: Partial<RunSubmissionOptions> = {},
) => Array.fromAsync(client.runSubmission(ops, { ...RUN, ...more }));

const changedAt = (chunkIndex: number | null) => (error: unknown) => {
  assert.ok(error instanceof SourceChangedError, String(error));
  assert.deepEqual([error.code, error.runName, error.chunkIndex], ['SOURCE_CHANGED', RUN.name, chunkIndex]);
  return true;
};

describe('a named run', () => {
  test('gives its results again, and uploads nothing again', async () => {
    await using world = await setUp();
    const first = world.producer();
    assert.deepEqual(await readAll(first.client, numbers(95)), doubled(numbers(95)));
    assert.deepEqual(chunksPut(first.store), numbers(10));
    const second = world.producer();
    assert.deepEqual(await readAll(second.client, numbers(95)), doubled(numbers(95)));
    assert.deepEqual(second.store.puts, []);
    assert.equal(await second.client.countSubmissions({ state: 'completed' }), 1);
  });

  test('attaches to a submission in progress', async () => {
    await using world = await setUp({ isIdle: true });
    const { id } = await world.producer().client.submit(numbers(20), RUN);
    const second = world.producer();
    const again = await second.client.submit(numbers(20), RUN);
    assert.equal(again.id, id);
    assert.equal((await again.details())?.prefix, RUN.name);
    assert.deepEqual(second.store.puts, []);
    world.consume();
    assert.deepEqual(await Array.fromAsync(again.results()), doubled(numbers(20)));
  });

  test('that has failed or was cancelled throws the same error again', async () => {
    await using world = await setUp({ isIdle: true });
    const { client } = world.producer();
    const cancelled = await client.submit(numbers(20), RUN);
    await cancelled.cancel();
    await assert.rejects(readAll(client, numbers(20)), SubmissionCancelledError);

    const consumer = world.quiet();
    const running = consumer.runEachOp(() => {
      throw new Error('out of order');
    });
    const failing = { ...RUN, name: 'failing', retry: { triesMax: 1 } };
    const errors: SubmissionFailedError[] = [];
    for (let time = 0; time < 2; time++) {
      await assert.rejects(Array.fromAsync(client.runSubmission(numbers(5), failing)), (error) => {
        assert.ok(error instanceof SubmissionFailedError);
        errors.push(error);
        return true;
      });
    }
    assert.equal(errors[0]?.submissionId, errors[1]?.submissionId);
    await consumer.stop();
    await running;
  });

  for (const [which, stepMs, chunksRead] of [
    ['before its digests were written', 0, 16],
    ['after they were', 1_000, 0],
  ] as const) {
    test(`continues an upload that was broken off ${which}`, async () => {
      await using world = await setUp();
      const clock = new ManualClock();
      const ops = function* () {
        for (const n of numbers(300)) {
          if (n % 10 === 0) clock.advance(stepMs);
          yield n;
        }
      };
      const first = world.producer({ failAt: 17, clock });
      await assert.rejects(readAll(first.client, ops()), /broke off/);
      const second = world.producer();
      assert.deepEqual(await readAll(second.client, ops()), doubled(numbers(300)));
      assert.deepEqual(chunksPut(first.store), numbers(18));
      assert.deepEqual(chunksPut(second.store), numbers(13, 17));
      // Chunks are read only where there is no digest to compare.
      assert.equal(second.store.gets.filter((key) => key.endsWith('-in.bin')).length, chunksRead);
    });
  }

  test('of a changed source is an error that names the first chunk that differs', async () => {
    await using world = await setUp();
    const changed = numbers(100).with(57, -1).with(93, -1);
    for (const failAt of [8, 99]) {
      const { client } = world.producer({ failAt });
      // Broken off after chunk 7, and then on the queue.
      await readAll(client, numbers(100)).catch(() => {});
      for (const [ops, at] of [
        [changed, 5],
        [numbers(30), 3],
        [numbers(34), 3],
      ] as const) {
        const { client: later, store } = world.producer();
        await assert.rejects(readAll(later, ops), changedAt(at));
        assert.deepEqual(chunksPut(store), []);
      }
    }
    const { client } = world.producer();
    await assert.rejects(readAll(client, numbers(101)), changedAt(10));
    assert.deepEqual(await readAll(client, numbers(100)), doubled(numbers(100)));
  });

  test('puts nothing of a changed source among the chunks that are there', async () => {
    await using world = await setUp();
    const first = world.producer({ failAt: 3 });
    await assert.rejects(readAll(first.client, numbers(100)), /broke off/);
    const second = world.producer();
    await assert.rejects(readAll(second.client, numbers(100, 1)), changedAt(0));
    assert.deepEqual(chunksPut(second.store), []);
    assert.deepEqual(await readAll(world.producer().client, numbers(100)), doubled(numbers(100)));
  });

  test('with another chunk size or other metadata is a conflict', async () => {
    await using world = await setUp();
    const broken = world.producer({ failAt: 9 });
    await assert.rejects(readAll(broken.client, numbers(100)), /broke off/);
    const { client } = world.producer();
    const conflictOn = (field: string) => (error: unknown) =>
      error instanceof SubmissionConflictError && error.field === field;
    await assert.rejects(readAll(client, numbers(100), { chunkSize: 20 }), conflictOn('chunk_size'));
    await readAll(client, numbers(100));
    await assert.rejects(readAll(client, numbers(100), { chunkSize: 20 }), conflictOn('chunk_size'));
    const metadata = Uint8Array.of(1);
    await assert.rejects(readAll(client, numbers(100), { metadata }), conflictOn('metadata'));
  });

  test('uploads again what a power failure has shortened', async () => {
    await using world = await setUp();
    const first = world.producer({ failAt: 9 });
    await assert.rejects(readAll(first.client, numbers(100)), /broke off/);
    const folder = join(world.objects.folder, String(RUN.name));
    truncateSync(join(folder, '0-in.bin'), 3);
    truncateSync(join(folder, '2-in.bin'), 0);
    truncateSync(join(folder, '3-in.bin'), 5);
    truncateSync(join(folder, '3-in.bin'), 11);
    const second = world.producer();
    assert.deepEqual(await readAll(second.client, numbers(100)), doubled(numbers(100)));
    for (const index of [0, 2, 3]) assert.ok(chunksPut(second.store).includes(index));
    assert.ok(!chunksPut(second.store).includes(1));
  });

  test('compares what was compressed by what is in it', async () => {
    await using world = await setUp();
    const first = world.producer({ failAt: 9 });
    await assert.rejects(readAll(first.client, numbers(100), { compression: 'zstd' }), /broke off/);
    const second = world.producer();
    assert.deepEqual(await readAll(second.client, numbers(100)), doubled(numbers(100)));
    assert.ok(!chunksPut(second.store).includes(1));
  });

  test('survives damaged digests', async () => {
    await using world = await setUp();
    const first = world.producer({ failAt: 9 });
    await assert.rejects(readAll(first.client, numbers(100)), /broke off/);
    writeFileSync(join(world.objects.folder, String(RUN.name), 'digests-0.bin'), 'rubbish');
    const second = world.producer();
    assert.deepEqual(await readAll(second.client, numbers(100)), doubled(numbers(100)));
    assert.ok(!chunksPut(second.store).includes(1));
  });

  test('by two producers at the same time is one submission', async () => {
    await using world = await setUp({ isIdle: true });
    const submissions = await Promise.all(
      numbers(4).map(() => world.producer().client.submit(numbers(200), RUN)),
    );
    assert.equal(new Set(submissions.map(({ id }) => id)).size, 1);
    world.consume();
    assert.deepEqual(await Array.fromAsync(submissions[3]!.results()), doubled(numbers(200)));
  });

  test('by another producer with another source at the same time is an error', async () => {
    await using world = await setUp({ isIdle: true });
    // Neither has uploaded anything when the other one looks what is there.
    const bothLooked = Promise.withResolvers<void>();
    let looked = 0;
    const source = async function* (first: number) {
      if (++looked === 2) bothLooked.resolve();
      await bothLooked.promise;
      yield* numbers(95, first);
    };
    const [one, other] = [world.producer().client, world.producer().client];
    const ends = await Promise.allSettled([one.submit(source(0), RUN), other.submit(source(1), RUN)]);
    const errors = ends.filter((end) => end.status === 'rejected').map((end): unknown => end.reason);
    assert.ok(errors.length > 0);
    for (const error of errors) assert.ok(error instanceof SourceChangedError, String(error));
  });

  test('among whose chunks another producer has put others is an error for both, and stays one', async () => {
    await using world = await setUp();
    const [looked, goOn, end] = [0, 1, 2].map(() => Promise.withResolvers<void>());
    const clock = new ManualClock();
    const first = async function* () {
      for (const n of numbers(100)) {
        // Its digests are written after each chunk.
        clock.advance(1_000);
        yield n;
      }
      // All of them: the other one could not know of chunks whose digests are still under way.
      goOn!.resolve();
      await end!.promise;
    };
    const second = async function* () {
      looked!.resolve();
      await goOn!.promise;
      yield* numbers(100).with(5, 4);
    };
    const late = world.producer({ clock: new ManualClock() }).client.submit(second(), RUN);
    await looked!.promise;
    const early = world.producer({ clock, isOneByOne: true }).client.submit(first(), RUN);
    await assert.rejects(late, changedAt(0)).finally(() => end!.resolve());
    await assert.rejects(early, changedAt(null));
    const { client } = world.producer();
    await assert.rejects(readAll(client, numbers(100)), changedAt(0));
    await client.deleteUpload(String(RUN.name));
    assert.deepEqual(await readAll(client, numbers(100)), doubled(numbers(100)));
  });

  test('gives the results that are there of a submission that the queue has forgotten', async () => {
    await using world = await setUp();
    const first = await world.producer().client.submit(numbers(95), RUN);
    await first.done();
    // One that does not remember anything.
    await using other = await realQueue();
    const again = world.producer({ url: other.url });
    const progress: string[] = [];
    const results = await readAll(again.client, numbers(95), {
      onProgress: ({ state, opsDone }) => progress.push(`${state} ${opsDone}`),
    });
    assert.deepEqual(results, doubled(numbers(95)));
    assert.deepEqual(progress, ['completed 95']);
    assert.deepEqual(chunksPut(again.store), []);
    assert.equal(await again.client.countSubmissions({ state: 'completed' }), 0);
    const handle = await again.client.submit(numbers(95), RUN);
    assert.equal(handle.id, first.id);
    assert.deepEqual(await Array.fromAsync(handle.results()), doubled(numbers(95)));
    await assert.rejects(readAll(again.client, numbers(94)), changedAt(9));
    await assert.rejects(readAll(again.client, numbers(90)), changedAt(9));
    const metadata = Uint8Array.of(1);
    await assert.rejects(readAll(again.client, numbers(95), { metadata }), SubmissionConflictError);
  });

  test('is submitted again if it was forgotten before it was done', async () => {
    await using world = await setUp({ isIdle: true });
    await world.producer().client.submit(numbers(95), RUN);
    await using other = await realQueue();
    const again = world.producer({ url: other.url });
    const submission = await again.client.submit(numbers(95), RUN);
    assert.deepEqual(chunksPut(again.store), []);
    assert.equal((await submission.details())?.state, 'in_progress');
  });

  test('whose chunks were removed cannot be compared, and says so', async () => {
    await using world = await setUp();
    const { client } = world.producer();
    assert.deepEqual(await readAll(client, numbers(95), { cleanup: 'after-results' }), doubled(numbers(95)));
    assert.deepEqual(readdirSync(world.objects.folder), []);
    await assert.rejects(readAll(client, numbers(95)), (error) => {
      assert.ok(error instanceof ObjectStoreError);
      assert.match(
        error.message,
        /chunks of run "nightly-2026-01-05" were removed .* give this run another name/,
      );
      return error.code === 'OBJECT_NOT_FOUND';
    });
  });

  test('stays where the signal fires in the middle of it', async () => {
    await using world = await setUp();
    const controller = new AbortController();
    const ops = function* () {
      for (const n of numbers(100)) {
        if (n === 80) controller.abort(new Error('enough'));
        yield n;
      }
    };
    const first = world.producer();
    await assert.rejects(readAll(first.client, ops(), { signal: controller.signal }), /enough/);
    const second = world.producer();
    assert.deepEqual(await readAll(second.client, numbers(100)), doubled(numbers(100)));
    assert.ok(!chunksPut(second.store).includes(0));
  });

  test('may be empty', async () => {
    await using world = await setUp();
    const { client } = world.producer();
    for (let time = 0; time < 2; time++) assert.deepEqual(await readAll(client, []), []);
    await assert.rejects(readAll(client, [1]), changedAt(0));
  });

  test('that the queue keeps is one submission, and a changed source an error', async () => {
    await using world = await setUp();
    const producer = new ProducerClient<number, number>(world.url, null);
    const { id } = await producer.submit(numbers(25), RUN);
    assert.equal((await producer.submit(numbers(25), RUN)).id, id);
    await assert.rejects(producer.submit(numbers(25, 1), RUN), changedAt(null));
    await assert.rejects(producer.submit(numbers(45), RUN), changedAt(null));
    await assert.rejects(producer.submit(numbers(25), { ...RUN, chunkSize: 9 }), SubmissionConflictError);
    await producer.close();
  });

  test('whose name has a submission of another queue is a conflict, before anything is uploaded', async () => {
    await using world = await setUp();
    await readAll(world.producer().client, numbers(20));
    const { client, store } = world.producer({ url: `${world.url}/q/images` });
    await assert.rejects(readAll(client, numbers(20)), (error) => {
      assert.ok(error instanceof SubmissionConflictError);
      assert.match(error.message, /another queue/);
      return error.field === 'queue';
    });
    assert.deepEqual(store.puts, []);
  });

  test('that was broken off can be removed, and its name be used for another source', async () => {
    await using world = await setUp();
    const broken = world.producer({ failAt: 9 });
    await assert.rejects(readAll(broken.client, numbers(100)), /broke off/);
    const { client } = world.producer();
    writeFileSync(join(world.objects.folder, String(RUN.name), 'notes.txt'), 'not ours');
    await client.deleteUpload(String(RUN.name));
    assert.deepEqual(readdirSync(join(world.objects.folder, String(RUN.name))), ['notes.txt']);
    await client.deleteUpload(String(RUN.name));
    assert.deepEqual(await readAll(client, numbers(100, 1)), doubled(numbers(100, 1)));
    await assert.rejects(client.deleteUpload(String(RUN.name)), (error) => {
      assert.ok(error instanceof IncorrectUsageError);
      return /is submission [0-9]+ of the queue: delete\(\) /.test(error.message);
    });
    assert.deepEqual(await readAll(client, numbers(100, 1)), doubled(numbers(100, 1)));
  });

  test('needs a name that can be a prefix', async () => {
    await using world = await setUp({ isIdle: true });
    for (const name of ['', '..', '../up', 'a/b', '.hidden', 'ä', 'x'.repeat(201), 7 as unknown as string]) {
      await assert.rejects(world.producer().client.submit([1], { ...RUN, name }), (error) => {
        assert.ok(error instanceof IncorrectUsageError);
        return /^name must be /.test(error.message);
      });
    }
  });
});
