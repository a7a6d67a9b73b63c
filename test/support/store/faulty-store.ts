import { StoreError } from '../../../src/store/errors.ts';
import type { CommitBatch, CommitResult, Store } from '../../../src/store/store.ts';
import { type Random, randomInt } from '../../../src/system/random.ts';

/**
 * What goes wrong with one call:
 * - `refuse`, `full`: it does not take place, and the store says so
 * - `refuse_after`: it takes place and the store says that it did not (a failed fsync)
 * - `unknown_before`, `unknown_after`: the answer is lost, before or after it took place
 * - `throw`: the call rejects; nothing took place
 * - `delay`: it takes place some turns of the event loop later
 * - `hang`: it is never answered; nothing takes place
 */
export type StoreFault =
  | 'none'
  | 'refuse'
  | 'full'
  | 'refuse_after'
  | 'unknown_before'
  | 'unknown_after'
  | 'throw'
  | 'delay'
  | 'hang';

/** Asked once for each call. Only `none`, `throw`, `delay` and `hang` mean something for a call that is no commit. */
export type StoreFaults = (call: keyof Store, batch?: CommitBatch) => StoreFault;

/** These faults, one for each commit, then none; other calls always succeed. */
export function scriptedCommits(...script: StoreFault[]): StoreFaults {
  return (call) => (call === 'commit' ? (script.shift() ?? 'none') : 'none');
}

/** A quarter of the calls go wrong, in any of the ways that end by themselves. */
export function randomFaults(random: Random, rate = 0.25): StoreFaults {
  const commitFaults: StoreFault[] = [
    'refuse',
    'full',
    'refuse_after',
    'unknown_before',
    'unknown_after',
    'throw',
    'delay',
  ];
  const otherFaults: StoreFault[] = ['throw', 'delay'];
  return (call) => {
    if (random.next() >= rate) return 'none';
    const faults = call === 'commit' ? commitFaults : otherFaults;
    return faults[randomInt(random, faults.length)] ?? 'none';
  };
}

/** `inner` behind a layer that fails, delays, and loses answers. `acquire`, `load`, `scopeControls` and `close` pass untouched. */
export function faultyStore(inner: Store, faults: StoreFaults): Store {
  async function call<T>(name: keyof Store, run: () => Promise<T>): Promise<T> {
    switch (faults(name)) {
      case 'throw':
        throw new StoreError('transient', `injected: ${name} failed`);
      case 'hang':
        return new Promise<T>(() => {});
      case 'delay':
        await turns(3);
        return run();
      default:
        return run();
    }
  }
  return {
    acquire: (shards, holder) => inner.acquire(shards, holder),
    load: (shards) => inner.load(shards),
    scopeControls: () => inner.scopeControls(),
    commit: (batch) => faultyCommit(inner, batch, faults('commit', batch)),
    lastSeq: (shard) => call('lastSeq', () => inner.lastSeq(shard)),
    findById: (id) => call('findById', () => inner.findById(id)),
    idsByPrefix: (prefixes) => call('idsByPrefix', () => inner.idsByPrefix(prefixes)),
    directContents: (part, chunks, bytesMax) =>
      call('directContents', () => inner.directContents(part, chunks, bytesMax)),
    endedQueues: (state) => call('endedQueues', () => inner.endedQueues(state)),
    countEnded: (queue, state) => call('countEnded', () => inner.countEnded(queue, state)),
    ended: (page) => call('ended', () => inner.ended(page)),
    chunksDone: (id) => call('chunksDone', () => inner.chunksDone(id)),
    failedChunks: (page) => call('failedChunks', () => inner.failedChunks(page)),
    due: (page) => call('due', () => inner.due(page)),
    forget: (...args) => call('forget', () => inner.forget(...args)),
    sizeBytes: () => call('sizeBytes', () => inner.sizeBytes()),
    lost: inner.lost,
    close: (graceMs) => inner.close(graceMs),
    ...(inner.maintenance ? { maintenance: inner.maintenance } : {}),
  };
}

async function faultyCommit(inner: Store, batch: CommitBatch, fault: StoreFault): Promise<CommitResult> {
  switch (fault) {
    case 'none':
      return inner.commit(batch);
    case 'refuse':
      return { kind: 'refused', error: new StoreError('transient', 'injected: I/O error') };
    case 'full':
      return { kind: 'refused', error: new StoreError('full', 'injected: no space') };
    case 'refuse_after': {
      const result = await inner.commit(batch);
      if (result.kind !== 'committed') return result;
      return { kind: 'refused', error: new StoreError('transient', 'injected: fsync failed') };
    }
    case 'unknown_before':
      return { kind: 'unknown', error: new StoreError('transient', 'injected: connection cut') };
    case 'unknown_after': {
      const result = await inner.commit(batch);
      if (result.kind !== 'committed') return result;
      return { kind: 'unknown', error: new StoreError('transient', 'injected: connection cut') };
    }
    case 'throw':
      throw new StoreError('transient', 'injected: commit failed');
    case 'delay':
      await turns(3);
      return inner.commit(batch);
    case 'hang':
      return new Promise(() => {});
  }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
