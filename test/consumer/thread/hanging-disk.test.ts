/** A FIFO that nobody writes to stands for a file on a disk that hangs: opening it never ends. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { type StartTransport, TransportThread } from '../../../src/consumer/thread/handle.ts';
import { chunkKey } from '../../../src/objects/keys.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { fakeChunk } from '../../support/fakes/fake-queue.ts';
import { quietly, Scene } from '../../support/peers/consumer-scene.ts';

const IMPATIENT_MS = 50;

/** The real thread, whose end nobody waits for as long as usual. */
const impatient: StartTransport = (setup, listener) =>
  new TransportThread(setup, listener, {
    ...systemClock,
    after: (delayMs, run, options) => systemClock.after(Math.min(delayMs, IMPATIENT_MS), run, options),
  });

/** Makes the input of a chunk hang until it is disposed of. */
function hangingInput(scene: Scene, chunkIndex: number): Disposable {
  const path = join(scene.objects.folder, chunkKey(scene.submission.prefix ?? '', chunkIndex, 'in'));
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('mkfifo', [path]);
  return {
    [Symbol.dispose]() {
      const fd = openSync(path, 'r+');
      // The reader must have had time to open it: its thread ends by that.
      systemClock.after(IMPATIENT_MS, () => closeSync(fd));
    },
  };
}

test('an input that hangs fails its chunk, naming the key and the time; others go on', async () => {
  await using scene = await Scene.open({ startTransport: impatient, client: { transferMsMax: 300 } });
  using _ = hangingInput(scene, 0);
  void quietly(scene.consumer.runEachOp((op) => op, { prefetch: 1, concurrency: 2 }));
  const connection = await scene.serve(fakeChunk(scene.submission, 0), await scene.chunk(1, [1]));
  const failed = await connection.until('fail');
  assert.equal(failed.chunk.chunkIndex, 0);
  assert.match(failed.failure, /read the chunk's body prefix-\d+\/0-in\.bin .*: it took longer than 300 ms/);
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 1);
});

test('stop ends although a disk hangs', async () => {
  await using scene = await Scene.open({ startTransport: impatient });
  using _ = hangingInput(scene, 0);
  const over = scene.consumer.runEachOp((op) => op, { concurrency: 2 });
  const connection = await scene.serve(fakeChunk(scene.submission, 0), await scene.chunk(1, [1]));
  await connection.until('complete');
  await scene.consumer.stop();
  await over;
  assert.equal(await connection.closed, 1000);
});
