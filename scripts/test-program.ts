import { renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Each module keeps the URL of its source: threads, documents and the page are found from there. */
const sourceUrls: Plugin = {
  name: 'source-urls',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      return {
        contents: text.replaceAll(/\bimport\.meta\.url\b/g, JSON.stringify(pathToFileURL(path).href)),
        loader: 'ts',
      };
    });
  },
};

/**
 * The `opsqueue` command of the sources as one file, whose path it returns: tests start it two hundred times, and half of a
 * start goes to finding three hundred modules. It lies where packages are found from, at a place that stays, since what
 * Node.js has compiled is kept by it.
 */
export async function bundleProgram(): Promise<string> {
  const file = `${root}node_modules/.cache/opsqueue-under-test.mjs`;
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/cli/main.ts'],
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
  // At once: tests of another run may be starting the one that is there.
  const fresh = `${file}-${process.pid}`;
  writeFileSync(fresh, outputFiles[0]?.contents ?? '');
  renameSync(fresh, file);
  return file;
}
