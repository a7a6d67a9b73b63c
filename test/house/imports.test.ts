import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cycles, importsOf, missingFiles, withoutComments, wrongDirections } from './import-rules.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (pattern: string) =>
  new Map(
    globSync(pattern, { cwd: root }).map((file) => [
      file.replaceAll('\\', '/'),
      readFileSync(`${root}/${file}`, 'utf8'),
    ]),
  );
const sources = read('src/**/*.ts');
const imports = importsOf(sources);

test('every import goes in a direction of the architecture', () => {
  assert.ok(sources.size > 10);
  assert.deepEqual(wrongDirections(imports), []);
  assert.deepEqual(missingFiles(imports, sources), []);
});

test('no files import each other in a circle, not even types', () => {
  assert.deepEqual(cycles(imports), []);
});

test('the rules catch what they forbid', () => {
  const bad = new Map([
    ['src/model/a.ts', "import type { B } from '../system/b.ts';"],
    ['src/system/b.ts', "import {\n  type A,\n} from '../model/a.ts';\nexport * from './c.ts';"],
    ['src/system/c.ts', "const b = await import('./b.ts');"],
    ['src/cli/d.ts', "import '../server/routes.ts';\nimport { x } from '../../test/x.ts';"],
    ['src/server/routes.ts', "new Worker(new URL('./gone.ts', import.meta.url)); // import './prose.ts'"],
  ]);
  const found = importsOf(bad);
  assert.deepEqual(wrongDirections(found), [
    'src/model/a.ts must not import src/system/b.ts',
    'src/cli/d.ts leaves src/: test/x.ts',
    'src/cli/d.ts must import server/index.ts, not src/server/routes.ts',
  ]);
  assert.deepEqual(cycles(found), [
    'src/model/a.ts -> src/system/b.ts -> src/model/a.ts',
    'src/system/b.ts -> src/system/c.ts -> src/system/b.ts',
  ]);
  assert.deepEqual(missingFiles(found, bad), [
    'src/server/routes.ts imports src/server/gone.ts, which does not exist',
  ]);
});

test('the page is a program of its own: it takes only the tables of the API from the sources', () => {
  const page = read('page/**/*.{ts,tsx}');
  assert.ok(page.size > 0);
  const packages = importsOf(page).filter(({ to }) => !/^(?:page|src)\//.test(to));
  const wrong = packages.filter(
    ({ from, to }) =>
      !/^preact(?:\/hooks)?$/.test(to) && !(from === 'page/ui/plot.tsx' && /^uplot\b/.test(to)),
  );
  assert.deepEqual(wrong, []);
  const others = importsOf(page).filter(
    ({ to }) => to.startsWith('src/') && !to.startsWith('src/protocol/api/'),
  );
  assert.deepEqual(others, []);
  assert.deepEqual(cycles(importsOf(page)), []);
  assert.deepEqual(wrongDirections(importsOf(new Map([['src/a/b.ts', "import '../../page/x.ts';"]]))), [
    'src/a/b.ts leaves src/: page/x.ts',
  ]);
});

const CLOCKS = /\b(?:Date\.now|new Date(?!\w)|setTimeout|setInterval|setImmediate|performance|Math\.random)/;
const timeUsers = (files: ReadonlyMap<string, string>) =>
  [...files].flatMap(([file, text]) => {
    if (file.startsWith('src/system/')) return [];
    return withoutComments(text)
      .split('\n')
      .map((line) => line.replaceAll(/new Date\((?=[^)\s])/g, ''))
      .filter((line) => CLOCKS.test(line.replace(/(['"`])(?:\\.|(?!\1)[^\\])*\1/g, '')))
      .map((line) => `${file}: ${line.trim()}`);
  });

test('time and randomness come from src/system only', () => {
  assert.deepEqual(timeUsers(sources), []);
  const bad = "new Date(5).toISOString(); // Date.now()\nnew Date();\nsetTimeout(f, 'Date');";
  assert.deepEqual(timeUsers(new Map([['src/net/x.ts', bad]])), [
    'src/net/x.ts: new Date();',
    "src/net/x.ts: setTimeout(f, 'Date');",
  ]);
});

test('only the command line reads the process', () => {
  const reads = /\bprocess\.(?:argv|env|stdin|stdout|stderr|exit\b|exitCode|on\(|once\()/;
  const readers = [...sources]
    .filter(([file, text]) => !file.startsWith('src/cli/') && reads.test(withoutComments(text)))
    .map(([file]) => file);
  assert.deepEqual(readers, []);
});

const BUILT_IN =
  /\binstanceof (?:Error|AggregateError|(?:Type|Range|Syntax)Error|Date|Map|Set|Promise|RegExp|URL|\w*Array|ArrayBuffer)\b/;
const realmUsers = (files: ReadonlyMap<string, string>) =>
  [...files]
    .filter(([file, text]) => BUILT_IN.test(withoutComments(text)) && !file.startsWith('src/cli/'))
    .map(([file]) => file);

test('no value is asked whether it is an instance of a built-in: it may be from another realm', () => {
  assert.deepEqual(realmUsers(sources), ['src/model/kinds.ts']);
  assert.deepEqual(realmUsers(new Map([['src/net/x.ts', 'if (x instanceof Map) f();']])), ['src/net/x.ts']);
});
