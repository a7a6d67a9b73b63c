import { StoreError } from '../../../src/store/errors.ts';
import type { StoreLeases } from '../../../src/store/lease.ts';

/** Leases that answer nothing while `isFailing`, but still tell of news. */
export function flakyLeases(leases: StoreLeases, isFailing: () => boolean): StoreLeases {
  const unlessFailing = <T>(run: () => Promise<T>): Promise<T> =>
    isFailing() ? Promise.reject(new StoreError('transient', 'cut')) : run();
  return {
    look: (...args) => unlessFailing(() => leases.look(...args)),
    take: (...args) => unlessFailing(() => leases.take(...args)),
    give: (...args) => unlessFailing(() => leases.give(...args)),
    leave: (...args) => unlessFailing(() => leases.leave(...args)),
    ready: (...args) => unlessFailing(() => leases.ready(...args)),
    proveCommit: () => unlessFailing(() => leases.proveCommit()),
    onNews: (listener) => leases.onNews(listener),
  };
}
