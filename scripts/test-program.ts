import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { BUNDLES, STARTERS, withOwnUrl } from './test-threads.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sourceUrls: Plugin = {
  name: 'source-urls',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      return { contents: withOwnUrl(text, pathToFileURL(path).href), loader: 'ts' };
    });
  },
};

/**
 * The `opsqueue` command of the sources as one file, whose path it returns, and the programs of its threads: tests start
 * hundreds of each, and half of a start goes to finding the modules.
 */
export async function bundleProgram(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/cli/main.ts', ...STARTERS.map((path) => `${dirname(path)}/entry.ts`)],
    outbase: '.',
    outdir: BUNDLES,
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'esnext',
    packages: 'external',
    keepNames: true,
    plugins: [sourceUrls],
    logLevel: 'warning',
  });
  write(`${BUNDLES}/package.json`, '{ "type": "module" }');
  for (const { path, contents } of outputFiles) write(path, contents);
  return `${BUNDLES}/src/cli/main.js`;
}

/** At once: tests of another run may be starting the one that is there. */
function write(path: string, contents: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}-${process.pid}`;
  writeFileSync(fresh, contents);
  renameSync(fresh, path);
}
