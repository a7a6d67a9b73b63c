/**
 * Deliberate bugs. Each one is a change of the source text that is made while the file is loaded, in a process of
 * its own: the code that users run has no switches for them.
 */
import { registerHooks } from 'node:module';

export interface Mutant {
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  /** Must stand in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** Loads the mutant's file with its bug; must be called before that file is imported for the first time. */
export function plant(mutant: Mutant): void {
  const suffix = `/src/${mutant.file}`;
  registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context);
      if (!url.endsWith(suffix)) return result;
      const source = String(result.source);
      const parts = source.split(mutant.find);
      if (parts.length !== 2) {
        throw new Error(`mutant ${mutant.name}: its text stands ${parts.length - 1} times in ${mutant.file}`);
      }
      return { ...result, source: parts.join(mutant.replace) };
    },
  });
}
