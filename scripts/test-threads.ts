/** What of the tests' processes and of the bundle makes their threads start from bundles: see `test-program.ts`. */
import { registerHooks } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Packages are found from there; it stays where it is, since what Node.js has compiled is kept by its path. */
export const BUNDLES = `${root}node_modules/.cache/under-test`;
/** Modules that start threads, whose programs are beside them: `entry.ts`. */
export const STARTERS = ['src/store/sqlite/thread/handle', 'src/consumer/thread/handle'];

/** The URLs of modules that start threads, and what they are to take for their own: beside it is the bundle of the thread. */
const urlsOfStarters: ReadonlyMap<string, string> = new Map(
  STARTERS.map((path) => [
    pathToFileURL(`${root}${path}.ts`).href,
    pathToFileURL(`${BUNDLES}/${path}.js`).href,
  ]),
);

/** The text of a module, with its own URL instead of that of the bundle: documents and the page are found from there. */
export function withOwnUrl(text: string, url: string): string {
  return text.replaceAll(/\bimport\.meta\.url\b/g, JSON.stringify(urlsOfStarters.get(url) ?? url));
}

/** From here on, modules that are imported start their threads from the bundles. */
export function startThreadsFromBundles(): void {
  // The bundle of a thread starts none.
  if (!isMainThread) return;
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      if (!urlsOfStarters.has(url)) return loaded;
      return { ...loaded, source: withOwnUrl(String(loaded.source), url) };
    },
  });
}
