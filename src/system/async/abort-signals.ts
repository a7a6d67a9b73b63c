/** A signal of one's own that follows others. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
  /** Fires it, unless it has fired. */
  abort(reason?: unknown): void;
}

/**
 * A signal that fires with the first of `sources`, or by `abort`. Dispose of it when the work is over: it leaves no
 * listener behind on sources that live longer than the work (which `AbortSignal.any` does until it is collected).
 */
export function linkedSignal(...sources: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  const release = () => {
    for (const each of undo.splice(0)) each();
  };
  for (const source of sources) {
    if (source === undefined) continue;
    if (source.aborted) {
      controller.abort(source.reason);
      break;
    }
    const follow = () => {
      release();
      controller.abort(source.reason);
    };
    source.addEventListener('abort', follow, { once: true });
    undo.push(() => source.removeEventListener('abort', follow));
  }
  return {
    signal: controller.signal,
    abort(reason) {
      release();
      controller.abort(reason);
    },
    [Symbol.dispose]: release,
  };
}

/** Settles as `work` does, or rejects with the signal's reason as soon as it fires; `work` goes on unobserved then. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      work.catch(() => {});
      return reject(signal.reason);
    }
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
