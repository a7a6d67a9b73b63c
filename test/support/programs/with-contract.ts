/** A callback for pools of threads that exports its contract. */
import * as v from 'valibot';
import { defineContract } from '../../../src/consumer/index.ts';

export const contract = defineContract({
  operation: v.pipe(v.string(), v.nonEmpty('it is empty')),
  result: v.number(),
});

export default function lengthOf(word: string): number {
  return word.length;
}
