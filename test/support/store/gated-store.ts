import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Store } from '../../../src/store/store.ts';

/** The store, but for its commits. */
export function withCommit(inner: Store, commit: Store['commit']): Store {
  return new Proxy(inner, {
    get(target, name) {
      if (name === 'commit') return commit;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A store whose commits wait while the gate is shut. */
export function gatedStore(inner: Store = new MemoryStore()): {
  readonly store: Store;
  shut(): void;
  open(): void;
} {
  let gate: Promise<void> | null = null;
  let unlock: () => void = () => {};
  return {
    store: withCommit(inner, async (batch) => {
      await gate;
      return inner.commit(batch);
    }),
    shut() {
      gate = new Promise((resolve) => {
        unlock = resolve;
      });
    },
    open() {
      gate = null;
      unlock();
    },
  };
}
