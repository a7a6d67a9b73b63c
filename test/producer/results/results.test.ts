import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BatchedResults, type BatchSource } from '../../../src/producer/results/results.ts';

/** Gives out batches, and counts how it was used. */
class Batches implements BatchSource<number> {
  readonly #left: (readonly number[] | Error)[];
  pulls = 0;
  stops = 0;
  abort = () => {};

  constructor(batches: readonly (readonly number[] | Error)[]) {
    this.#left = [...batches];
  }

  async next(): Promise<IteratorResult<readonly number[], void>> {
    this.pulls++;
    await new Promise(setImmediate);
    const value = this.#left.shift();
    if (value instanceof Error) throw value;
    return value === undefined ? { done: true, value } : { done: false, value };
  }

  async stop(): Promise<void> {
    this.stops++;
  }

  onAbort(run: () => void): void {
    this.abort = run;
  }
}

test('gives every item in order, empty batches or not', async () => {
  const batches = fc.array(fc.array(fc.nat(), { maxLength: 4 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(batches, async (batches) => {
      assert.deepEqual(await Array.fromAsync(new BatchedResults(new Batches(batches))), batches.flat());
      const whole = await Array.fromAsync(new BatchedResults(new Batches(batches)).batches());
      assert.deepEqual(
        whole,
        batches.filter(({ length }) => length > 0),
      );
    }),
    { numRuns: 50 },
  );
});

test('calls that do not wait for each other get the items in order', async () => {
  const source = new Batches([[1, 2], [], [3], [4, 5, 6]]);
  const results = new BatchedResults(source);
  const answers = await Promise.all(Array.from({ length: 8 }, () => results.next()));
  assert.deepEqual(
    answers.map(({ value }) => value),
    [1, 2, 3, 4, 5, 6, undefined, undefined],
  );
  assert.equal(source.pulls, 5);
});

test('the first item after the batch so far comes with batches()', async () => {
  const results = new BatchedResults(new Batches([[1, 2, 3], [4]]));
  await results.next();
  assert.deepEqual(await Array.fromAsync(results.batches()), [[2, 3], [4]]);
});

test('an error is told once, then it is over', async () => {
  const results = new BatchedResults(new Batches([[1], new Error('lost'), [2]]));
  await results.next();
  await assert.rejects(results.next(), /lost/);
  assert.equal((await results.next()).done, true);
});

test('return stops the source and ends it, with calls under way', async () => {
  const source = new Batches([[1], [2]]);
  const results = new BatchedResults(source);
  const pending = results.next();
  await results.return();
  assert.deepEqual(await pending, { done: true, value: undefined });
  assert.equal((await results.next()).done, true);
  assert.equal(source.stops, 1);
  const disposed = new Batches([[1]]);
  {
    await using scoped = new BatchedResults(disposed);
    await scoped.next();
  }
  assert.equal(disposed.stops, 1);
});

test('an abort takes back what was not read yet', async () => {
  const source = new Batches([[1, 2, 3], new Error('aborted')]);
  const results = new BatchedResults(source);
  await results.next();
  source.abort();
  await assert.rejects(results.next(), /aborted/);
});

test('an item that is there costs no detour, also after the source was waited for', async () => {
  const results = new BatchedResults(new Batches([[1, 2, 3]]));
  await results.next();
  const order: string[] = [];
  const item = results.next().then(() => order.push('item'));
  const turn = Promise.resolve().then(() => order.push('next turn of the microtask queue'));
  await Promise.all([item, turn]);
  assert.deepEqual(order, ['item', 'next turn of the microtask queue']);
});
