/** `npm run build`: dist/ afresh from src/, then a check that the command and every entry point work from there. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { NODE_VERSION_MIN } from '../src/system/entry/node-version.ts';
import { writePage } from './page-bundle.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

interface Entry {
  types: string;
  default: string;
  node: { require: string; default: string };
}

const { version, exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  exports: Record<string, string | Entry>;
};

rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (status !== 0) fail('tsc found errors');

// tsc rewrites the extension in an import, but not in a URL: a worker file named so would only be missed by users.
for (const file of globSync('dist/**/*.js')) {
  const sourceUrl = /new URL\(\s*['"`][^'"`]*\.ts['"`]/.exec(readFileSync(file, 'utf8'));
  if (sourceUrl) fail(`${file} names a source file that is not in the package: ${sourceUrl[0]}`);
}

// What is loaded only when it is needed, the stores behind a network, is left out: a text has no packages to load, and
// their transfers are made by the calling thread.
const withoutDynamicImports: Plugin = {
  name: 'without-dynamic-imports',
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ kind, path }) =>
      kind === 'dynamic-import' ? { path, external: true } : undefined,
    );
  },
};

// A bundle of a user's has no files for the threads: it finds their programs as texts.
for (const [program, inlined, name] of [
  ['dist/consumer/thread/entry.js', 'dist/consumer/thread/inlined.js', 'TRANSPORT_PROGRAM'],
  ['dist/store/sqlite/thread/entry.js', 'dist/store/sqlite/thread/inlined.js', 'DATABASE_PROGRAM'],
] as const) {
  if (!existsSync(inlined)) fail(`${inlined} is not there to be written`);
  const { outputFiles } = await build({
    entryPoints: [program],
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    // What a thread evaluates from a text is CommonJS.
    format: 'cjs',
    target: 'node24',
    plugins: [withoutDynamicImports],
    logLevel: 'warning',
  });
  const text = outputFiles[0]?.text ?? '';
  writeFileSync(inlined, `export const ${name} = ${JSON.stringify(text)};\n`);
}

await writePage('dist/page');

for (const [entry, target] of Object.entries(exports)) {
  if (typeof target === 'string') continue;
  for (const file of [target.types, target.default]) if (!existsSync(file)) fail(`${entry} needs ${file}`);
  const names = Object.keys(await import(pathToFileURL(target.default).href));
  writeOldNodeEntry(target, names);
}

const said = execFileSync(process.execPath, ['dist/cli/main.js', '--version'], { encoding: 'utf8' }).trim();
if (said !== `opsqueue ${version}`) fail(`opsqueue --version says ${JSON.stringify(said)}`);
console.log(`built ${said} in dist/`);

/**
 * An old Node.js cannot even link our modules, so its import would end with a SyntaxError. Those have no condition
 * `module-sync` and get here, where the version is looked at first. So does Jest, which passes.
 */
function writeOldNodeEntry({ default: entry, node }: Entry, names: readonly string[]): void {
  mkdirSync('dist/old-node', { recursive: true });
  const real = entry.replace('./dist/', '../');
  writeFileSync(
    node.default,
    `import '../system/entry/node-version.js';
const entry = await import('${real}');
export const { ${names.join(', ')} } = entry;
`,
  );
  writeFileSync(
    node.require,
    `const needed = '${NODE_VERSION_MIN}';
const [major, minor] = process.versions.node.split('.').map(Number);
const [majorMin, minorMin] = needed.split('.').map(Number);
if (major < majorMin || (major === majorMin && minor < minorMin)) {
  throw new Error(
    'opsqueue needs Node.js ' + needed + ' or newer, and this is ' + process.versions.node + ' (' + process.execPath + ')',
  );
}
module.exports = require('${real}');
`,
  );
}

function fail(message: string): never {
  console.error(`build: ${message}`);
  process.exit(1);
}
