import { isObject, mustBe } from '../model/check.ts';
import { type ContractIssue, ContractViolationError } from '../model/errors.ts';
import { isThenable } from '../model/kinds.ts';
import { OpError } from '../model/op-error.ts';
import type { StandardSchema, StandardSchemaIssue, StandardSchemaResult } from './standard-schema.ts';

/** The values of a chunk, or of a part of one. */
export interface ValuesToCheck {
  readonly what: 'operation' | 'result';
  readonly schema: StandardSchema;
  readonly values: readonly unknown[];
  /** The position of the first one in its submission; null if that is not known. */
  readonly firstIndex: number | null;
}

/**
 * The schema's outputs for all values: at once, unless the schema is asynchronous. An OpError stands for a result that
 * there is not, and stays as it is.
 *
 * @throws ContractViolationError for the first value that is invalid; IncorrectUsageError for a schema that is none
 */
export function validate(check: ValuesToCheck): unknown[] | Promise<unknown[]> {
  const { schema, values } = check;
  const outputs: unknown[] = new Array(values.length);
  const waiting: Promise<void>[] = [];
  try {
    for (let at = 0; at < values.length; at++) {
      const value = values[at];
      if (value instanceof OpError) {
        outputs[at] = value;
        continue;
      }
      const result = schema['~standard'].validate(value);
      if (!isThenable(result)) outputs[at] = outputOf(check, at, result);
      else {
        waiting.push(
          Promise.resolve(result).then((settled) => {
            outputs[at] = outputOf(check, at, settled);
          }),
        );
      }
    }
  } catch (error) {
    // One of them may reject as well: that is not unhandled.
    for (const each of waiting) each.catch(() => {});
    throw error;
  }
  return waiting.length === 0 ? outputs : Promise.all(waiting).then(() => outputs);
}

function outputOf(
  { what, firstIndex }: ValuesToCheck,
  at: number,
  result: StandardSchemaResult<unknown>,
): unknown {
  // A schema written by hand may answer anything: `false` must not pass for a value.
  if (!isObject(result) || !('issues' in result || 'value' in result)) {
    throw mustBe(`what the schema of ${what}s answers`, 'an object with value or issues', result);
  }
  if (result.issues === undefined) return result.value;
  const index = firstIndex === null ? null : firstIndex + at;
  throw new ContractViolationError(what, index, result.issues.map(plainIssue));
}

/** An issue as plain text: it goes into messages, logs and to other threads. */
function plainIssue({ message, path = [] }: StandardSchemaIssue): ContractIssue {
  let text = '';
  for (const part of path) {
    const key = typeof part === 'object' ? part.key : part;
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return { path: text, message };
}
