import { test } from 'node:test';
import * as v from 'valibot';
import {
  type Contract,
  defineContract,
  type OpError,
  ProducerClient,
  type Submission,
} from '../../src/index.ts';

/** Compiles only where both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const isTrue = <_ extends true>() => {};

/** Never run: what is tested is that it compiles. */
export async function typed(): Promise<void> {
  const given = defineContract<string, number>({ store: 'memory:///types' });
  isTrue<Same<typeof given, Contract<string, number>>>();

  const inferred = defineContract({
    operation: v.object({ word: v.string(), times: v.optional(v.number(), 1) }),
    result: v.pipe(v.string(), v.transform(Number)),
  });
  type Sent = { word: string; times?: number | undefined };
  type Read = { word: string; times: number };
  isTrue<Same<typeof inferred, Contract<Sent, number, Read, string>>>();
  const raw = defineContract({ codec: 'raw' });
  isTrue<Same<typeof raw, Contract<Uint8Array, Uint8Array>>>();

  const untyped = new ProducerClient('localhost:1', 'memory:///types');
  isTrue<Same<typeof untyped, ProducerClient<unknown, unknown>>>();
  const producer = new ProducerClient('localhost:1', inferred);
  isTrue<Same<typeof producer, ProducerClient<Sent, number>>>();
  const words = new ProducerClient<string, string>('localhost:1', 'memory:///types');
  for await (const word of words.runSubmission(['a'], { chunkSize: 1 })) isTrue<Same<typeof word, string>>();
  const submission = await words.submit(['a'], { chunkSize: 1 });
  isTrue<Same<typeof submission, Submission<string>>>();
  isTrue<Same<ReturnType<typeof words.submission>, Submission<string>>>();
  for await (const word of submission.results({ when: 'as-completed' })) isTrue<Same<typeof word, string>>();
  for await (const { results } of submission.chunks()) isTrue<Same<typeof results, readonly string[]>>();
  for await (const batch of submission.results().batches()) isTrue<Same<typeof batch, readonly string[]>>();
  const bytes = new ProducerClient('localhost:1', raw);
  for await (const chunk of bytes.runSubmission([], { chunkSize: 1 }))
    isTrue<Same<typeof chunk, Uint8Array>>();
  // @ts-expect-error: an operation of another type
  words.runSubmission([1], { chunkSize: 1 });
  // @ts-expect-error: a contract for other operations
  new ProducerClient<number, number>('localhost:1', given);
  // @ts-expect-error: a contract for other results
  new ProducerClient<string, string>('localhost:1', given);
  // Where consumers record errors, the reader may say so.
  new ProducerClient<string, number | OpError>('localhost:1', given);
}

test('types of operations and results flow from a contract, or from type arguments, to both clients', () => {
  // The compiler has tested it.
});
