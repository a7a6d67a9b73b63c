/** `npm run build`: dist/ afresh from src/, then a check that the command and every entry point work from there. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const { version, exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  exports: Record<string, string | { types: string; default: string }>;
};

rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (status !== 0) fail('tsc found errors');

// tsc rewrites the extension in an import, but not in a URL: a worker file named so would only be missed by users.
for (const file of globSync('dist/**/*.js')) {
  const sourceUrl = /new URL\(\s*['"`][^'"`]*\.ts['"`]/.exec(readFileSync(file, 'utf8'));
  if (sourceUrl) fail(`${file} names a source file that is not in the package: ${sourceUrl[0]}`);
}

for (const [entry, target] of Object.entries(exports)) {
  if (typeof target === 'string') continue;
  for (const file of [target.types, target.default]) if (!existsSync(file)) fail(`${entry} needs ${file}`);
  await import(pathToFileURL(target.default).href);
}

const said = execFileSync(process.execPath, ['dist/cli/main.js', '--version'], { encoding: 'utf8' }).trim();
if (said !== `opsqueue ${version}`) fail(`opsqueue --version says ${JSON.stringify(said)}`);
console.log(`built ${said} in dist/`);

function fail(message: string): never {
  console.error(`build: ${message}`);
  process.exit(1);
}
