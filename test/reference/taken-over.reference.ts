import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { freePort } from '../support/network/free-port.ts';
import { inFolder, startQueue } from './support.ts';

const CHUNKS = 40;

test('our queue goes on with what the original was killed over, and the copy is the way back', async () => {
  await inFolder(async (folder) => {
    const port = await freePort();
    const database = join(folder, 'queue.db');
    const where = [`localhost:${port}`, `file://${folder}/objects`] as const;
    const ops = Array.from({ length: 10 * CHUNKS }, (_, i) => i);
    let queue = await startQueue('original', { port, database });
    await using producer = new ProducerClient(...where);

    const enough = Promise.withResolvers<void>();
    let chunks = 0;
    const work = async (chunk: readonly number[]): Promise<number[]> => {
      // It stops in the middle: what comes after that is never answered.
      if (++chunks > CHUNKS / 2) {
        enough.resolve();
        await new Promise(() => {});
      }
      return chunk.map((op) => op * 2);
    };
    const first = new ConsumerClient(...where);
    const abandoned = first.runEachChunk(work).catch(() => {});
    const completed = await producer.insertSubmission(ops.slice(0, 50), { chunkSize: 10 });
    assert.equal((await producer.submission(completed).done()).state, 'completed');
    const interrupted = await producer.insertSubmission(ops, { chunkSize: 10 });
    await enough.promise;
    const isUnderWay = async () => {
      const status = await producer.submission(interrupted).details();
      return status?.state === 'in_progress' && status.chunksDone > CHUNKS / 4;
    };
    while (!(await isUnderWay()));
    await first.close();
    await abandoned;
    await queue.kill();
    assert(existsSync(`${database}-wal`), 'nothing was left in the log');

    queue = await startQueue('ours', { port, database });
    assert.equal((await producer.submission(completed).details())?.state, 'completed');
    const before = await producer.submission(interrupted).details();
    assert(before?.state === 'in_progress' && before.chunksDone > CHUNKS / 4 && before.chunksDone < CHUNKS);
    await using second = new ConsumerClient(...where);
    let redone = 0;
    const working = second.runEachChunk((chunk: readonly number[]) => {
      redone++;
      return chunk.map((op) => op * 2);
    });
    const results: unknown[] = [];
    for await (const result of producer.submission(interrupted).results()) results.push(result);
    assert.deepEqual(
      results,
      ops.map((op) => op * 2),
    );
    assert.equal(redone, CHUNKS - before.chunksDone);
    await queue.kill();

    const [copy] = readdirSync(folder).filter((file) => file.includes('reference-backup'));
    assert(copy);
    const old = join(folder, 'old.db');
    copyFileSync(join(folder, copy), old);
    queue = await startQueue('original', { port, database: old });
    assert.deepEqual(await producer.submission(interrupted).details(), before);
    assert.equal((await producer.submission(interrupted).done()).state, 'completed');
    await second.stop();
    await working;
    await queue.kill();
  });
});
