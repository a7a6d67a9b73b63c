import type { AnyContract, ContractCodec } from '../../contract/contract.ts';
import type { StandardSchema } from '../../contract/standard-schema.ts';
import { validate } from '../../contract/validation.ts';
import { IncorrectUsageError } from '../../model/errors.ts';
import type { ChunkIndex } from '../../model/ids.ts';
import { isThenable } from '../../model/kinds.ts';
import type { SubmissionInfo } from '../../model/submission.ts';
import type { OperationCodec } from '../../protocol/chunk/codec-options.ts';
import type { ConsumerParts } from '../parts.ts';
import type { OpCallback } from '../types.ts';
import { checkCodec } from './codec.ts';

/** How the content of a chunk becomes operations, and results become content. */
export interface ChunkFormat {
  readonly codec: OperationCodec;
  /** What the contract says of operations and results; null: nothing. */
  readonly operation: StandardSchema | null;
  readonly result: StandardSchema | null;
}

/** That of a contract. */
export function formatOf({ codec, operation, result }: AnyContract): ChunkFormat {
  return { codec: checkCodec(codec), operation, result };
}

/** That of a call which may name another codec. */
export function formatFor(
  { contract, isContractGiven }: Pick<ConsumerParts, 'contract' | 'isContractGiven'>,
  codec: ContractCodec | undefined,
): ChunkFormat {
  if (codec === undefined) return formatOf(contract);
  if (isContractGiven) throw new IncorrectUsageError('codec: the contract has it already');
  return formatOf({ ...contract, codec });
}

/** Goes on with a value at once, or when its promise is resolved. */
export function andThen<T, Next>(
  value: T | PromiseLike<T>,
  next: (value: T) => Next,
): Next | Promise<Awaited<Next>> {
  return isThenable(value) ? (Promise.resolve(value).then(next) as Promise<Awaited<Next>>) : next(value as T);
}

/** The callback between the checks that the contract asks for. */
export function checkedCallback(callback: OpCallback, { operation, result }: ChunkFormat): OpCallback {
  if (operation === null && result === null) return callback;
  return (op, context) => {
    const index = firstIndexOf(context);
    const firstIndex = index === null ? null : index + context.operationIndex;
    const check = (what: 'operation' | 'result', schema: StandardSchema | null, value: unknown) =>
      schema === null
        ? value
        : andThen(validate({ what, schema, values: [value], firstIndex }), ([output]) => output);
    return andThen(
      andThen(check('operation', operation, op), (checked) => callback(checked, context)),
      // Sent as it was returned: the producer, which reads it, uses what the schema makes of it.
      (value) => andThen(check('result', result, value), () => value),
    );
  };
}

/** All operations of a chunk as the schema makes them, or all results as they were returned: checked. */
export function checkedValues(
  what: 'operation' | 'result',
  schema: StandardSchema | null,
  values: unknown[],
  context: ChunkPlace,
): unknown[] | Promise<unknown[]> {
  if (schema === null) return values;
  const outputs = validate({ what, schema, values, firstIndex: firstIndexOf(context) });
  return what === 'operation' ? outputs : andThen(outputs, () => values);
}

/** Which chunk it is, for messages; `submission` where it is known. */
export interface ChunkPlace {
  readonly submissionId: string;
  readonly chunkIndex: ChunkIndex;
  readonly submission?: SubmissionInfo;
}

/** The position of the chunk's first operation in its submission; null if that is not known. */
function firstIndexOf({ submission, chunkIndex }: ChunkPlace): number | null {
  const chunkSize = submission?.chunkSize ?? null;
  return chunkSize === null ? null : chunkSize * chunkIndex;
}
