/**
 * Replaces methods of classes, in this process only: the code that users run has no switches for the simulation. What is
 * replaced is named by a typed reference, so that a rename, or a change of its parameters, is a compile error.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

type MethodName<T> = { [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never }[keyof T];

type Method<T, K extends keyof T> = T[K] extends (...args: infer Args) => infer Result
  ? (this: T, ...args: Args) => Result
  : never;

/** What undoes each replacement, of those that do not stay. */
let undoings: (() => void)[] | null = null;

/** What `plant` replaces is as it was again when `run` is over. Not to be nested. */
export async function whileReplaced<T>(plant: () => void, run: () => Promise<T>): Promise<T> {
  const undo: (() => void)[] = [];
  undoings = undo;
  try {
    plant();
    return await run();
  } finally {
    undoings = null;
    for (const each of undo.reverse()) each();
  }
}

/** @param target a class's `prototype`, or the class itself for a static method */
export function replace<T extends object, K extends MethodName<T>>(
  target: T,
  name: K,
  make: (original: Method<T, K>) => Method<T, K>,
): void {
  const value = make(ownProperty(target, name).value as Method<T, K>);
  define(target, name, { value });
}

export function replaceGetter<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: () => T[K]) => (this: T) => T[K],
): void {
  const get = make(ownProperty(target, name).get as () => T[K]);
  define(target, name, { get });
}

/** Says whether a call of that method is on the way: for what is wrong only where this one calls it, at once or later. */
export function during<T extends object, K extends MethodName<T>>(target: T, name: K): () => boolean {
  const calls = new AsyncLocalStorage<true>();
  const original = ownProperty(target, name).value as (...args: unknown[]) => unknown;
  define(target, name, {
    value(this: T, ...args: unknown[]) {
      return calls.run(true, () => original.apply(this, args));
    },
  });
  return () => calls.getStore() === true;
}

function define(target: object, name: PropertyKey, changed: PropertyDescriptor): void {
  const before = ownProperty(target, name);
  undoings?.push(() => Object.defineProperty(target, name, before));
  Object.defineProperty(target, name, { ...before, ...changed });
}

function ownProperty(target: object, name: PropertyKey): PropertyDescriptor {
  const found = Object.getOwnPropertyDescriptor(target, name);
  if (found === undefined)
    throw new Error(`nothing to replace: ${String(name)} is inherited, or of the instance`);
  return found;
}
