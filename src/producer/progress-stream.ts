import type { SubmissionId } from '../model/ids.ts';
import { linkedSignal } from '../system/signals.ts';
import { waitForEnd } from './completion.ts';
import type { ClientContext } from './context.ts';
import { Gate } from './gate.ts';
import type { Progress } from './options.ts';

/** Progress as an iterable: a reader who is slow gets the newest, not all. */
export async function* progressOf(
  context: ClientContext,
  id: SubmissionId,
  caller: AbortSignal | undefined,
): AsyncGenerator<Progress, undefined> {
  const linked = linkedSignal(context.closing, caller);
  const { api, clock } = context;
  const told = new Gate();
  let latest: Progress | null = null;
  let failure: { readonly error: unknown } | null = null;
  let isOver = false;
  const onProgress = (progress: Progress) => {
    latest = progress;
    told.open();
  };
  waitForEnd({ api, clock, id, signal: linked.signal, isKnown: false, onProgress })
    .catch((error: unknown) => {
      failure = { error };
    })
    .finally(() => {
      isOver = true;
      told.open();
    });
  try {
    for (;;) {
      if (latest === null && !isOver) await told.wait();
      const progress = takeLatest();
      if (progress !== null) yield progress;
      else if (isOver) break;
    }
    throwFailure();
    return undefined;
  } finally {
    linked.abort(new Error('the reader has stopped'));
  }

  function takeLatest(): Progress | null {
    const progress = latest;
    latest = null;
    return progress;
  }

  function throwFailure(): void {
    if (failure !== null) throw failure.error;
  }
}
