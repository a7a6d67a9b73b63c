import { IncorrectUsageError } from '../../../model/errors.ts';
import { isDigestsName, isObjectName, submissionFolder } from '../../../objects/keys.ts';
import type { ClientContext } from '../../context.ts';
import { submissionOfRun } from './insert-run.ts';

/** Removes what is in the object store of a run that the queue does not know. @throws IncorrectUsageError if it does */
export async function deleteUpload(context: ClientContext, name: string, signal: AbortSignal): Promise<void> {
  const known = await submissionOfRun(context.api, name, signal);
  if (known !== null) {
    throw new IncorrectUsageError(
      `run ${JSON.stringify(name)} is submission ${known.id} of the queue: delete() of that removes its chunks`,
    );
  }
  const store = context.requireStore();
  const folder = submissionFolder(name);
  /** The last: with them it is known that the rest is ours, should the deletion not get to its end. */
  const digests: string[] = [];
  for await (const page of store.list(folder, { signal })) {
    const keys: string[] = [];
    for (const { key } of page) {
      const file = key.slice(folder.length + 1);
      if (isObjectName(file)) (isDigestsName(file) ? digests : keys).push(key);
    }
    if (keys.length > 0) await store.delete(keys, { signal });
  }
  if (digests.length > 0) await store.delete(digests, { signal });
}
