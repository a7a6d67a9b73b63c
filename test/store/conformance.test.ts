/** The suite of the stores finds what is wrong with a store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storeConformance } from '../../src/store/conformance/index.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Store } from '../../src/store/store.ts';

/** A store that differs from one that is right in a few methods. */
type Break = (store: MemoryStore) => Partial<Store>;

function broken(store: MemoryStore, wrong: Partial<Store>): Store {
  return new Proxy<Store>(store, {
    get(target, key) {
      if (Object.hasOwn(wrong, key)) return Reflect.get(wrong, key);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Runs the test of that title; whether it passes. */
async function passes(title: string, wrong: Break): Promise<boolean> {
  const bodies = new Map<string, () => Promise<void>>();
  storeConformance('broken', {
    second: 'fences',
    async fixture() {
      const database = new MemoryDatabase();
      const open = async () => {
        const store = new MemoryStore({ database });
        return broken(store, wrong(store));
      };
      return { open, dispose: async () => {} };
    },
    runner: { describe: (_, body) => body(), test: (name, body) => void bodies.set(name, body) },
  });
  const body = bodies.get(title);
  assert.ok(body, title);
  return body().then(
    () => true,
    () => false,
  );
}

/** Answers a look-up from memory where the store has nothing any more. */
function remembering<Key, Value>(
  memory: Map<string, NonNullable<Value>>,
  keys: readonly Key[],
  values: readonly Value[],
): Value[] {
  return values.map((value, at) => {
    const key = JSON.stringify(keys[at], (_, each: unknown) =>
      typeof each === 'bigint' ? String(each) : each,
    );
    if (value !== null && value !== undefined) memory.set(key, value);
    return memory.get(key) ?? value;
  });
}

const FORGOTTEN = 'nothing is left of what is forgotten, but ids go on rising';

const WRONG: readonly (readonly [what: string, title: string, wrong: Break])[] = [
  [
    'a cache of prefixes keeps those that are forgotten',
    FORGOTTEN,
    (store) => {
      const memory = new Map<string, bigint>();
      return {
        idsByPrefix: async (prefixes) => remembering(memory, prefixes, await store.idsByPrefix(prefixes)),
      };
    },
  ],
  [
    'a cache of bodies keeps those that are forgotten',
    FORGOTTEN,
    (store) => {
      const memory = new Map<string, Uint8Array>();
      return {
        directContents: async (part, chunks, bytesMax) =>
          remembering(
            memory,
            chunks.map((chunk) => ({ part, ...chunk })),
            await store.directContents(part, chunks, bytesMax),
          ),
      };
    },
  ],
  [
    'the highest id is that of what is left',
    FORGOTTEN,
    (store) => ({
      acquire: async (shards, holder) =>
        (await store.acquire(shards, holder)).map((grant) => ({ ...grant, highestId: 0n })),
    }),
  ],
  [
    'idempotency keys are left out',
    'so is an idempotency key, in whatever state the first one is',
    (store) => ({
      commit: (batch) => {
        const mutations = batch.mutations.map((mutation) =>
          mutation.kind === 'insert' ? { kind: mutation.kind, record: mutation.record } : mutation,
        );
        return store.commit({ ...batch, mutations });
      },
    }),
  ],
  [
    'the pause of a queue is forgotten at a restart',
    'of queues and the server is kept apart from submissions, for ever',
    () => ({ scopeControls: async () => new Map() }),
  ],
  [
    'a batch out of order is taken',
    'a seq that leaves one out, or is long past, is refused',
    (store) => ({
      commit: async (batch) => store.commit({ ...batch, seq: (await store.lastSeq(batch.shard)) + 1 }),
    }),
  ],
  [
    'tries lose their broken connections',
    'whole values: the same mutations once more, as a batch of their own, change nothing',
    (store) => {
      let commits = 0;
      return {
        commit: (batch) => {
          const isFirst = ++commits < 3;
          const mutations = batch.mutations.map((mutation) =>
            mutation.kind === 'tries' && !isFirst
              ? { ...mutation, tries: { ...mutation.tries, disconnects: mutation.tries.disconnects + 1 } }
              : mutation,
          );
          return store.commit({ ...batch, mutations });
        },
      };
    },
  ],
  [
    'bodies are limited by nothing',
    'of many bodies only the first ones come back, up to what they may take together, but at least one',
    (store) => ({
      directContents: (part, chunks) => store.directContents(part, chunks, Number.POSITIVE_INFINITY),
    }),
  ],
];

for (const [what, title, wrong] of WRONG) {
  test(`the suite of stores finds that ${what}`, async () => {
    assert.equal(await passes(title, () => ({})), true, 'one that is right passes');
    assert.equal(await passes(title, wrong), false);
  });
}
