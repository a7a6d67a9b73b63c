import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Its files take seconds each as well, and share a browser. */
const PAGE = 'test/page/';
/** Their files take seconds each, most of it in other processes: each has one of its own, the longest begin first. */
const LONG = [
  PAGE,
  'test/e2e/package',
  'test/e2e/nodes',
  'test/examples/',
  'test/simulation/',
  'test/objects/full-run-faults',
  'test/documents/',
  'test/e2e/',
  'test/store/postgres/',
  'test/cli/log-survival',
  'test/cli/serve.test',
];
/** Of the others, the folders whose processes take longest. */
const LONGEST_SHARED = ['store', 'consumer', 'producer'];
/** More would leave nothing to do side by side with the last of them. */
const BATCH_FILES = 12;
const OWN_PROCESS = /^\/\/ In a process of its own: /m;

/**
 * What to give the test runner, in order, for these test files. A process per file would spend most of its time on reading the
 * modules that all of them import, so the quick ones of a folder of `test` share one: a module, written to `folder`, that
 * imports them. A file that cannot share has a line `// In a process of its own: why`.
 */
export function filesToRun(files: readonly string[], folder: string): string[] {
  const long: string[][] = LONG.map(() => []);
  const alone: string[] = [];
  const groups = new Map<string, string[]>();
  for (const file of files) {
    const path = file.replaceAll('\\', '/');
    const rank = LONG.findIndex((prefix) => path.startsWith(prefix));
    const group = /(?:^|\/)test\/(\w+)\//.exec(path)?.[1];
    const isAlone = group === undefined || OWN_PROCESS.test(readFileSync(file, 'utf8'));
    if (rank !== -1 && (isAlone || !path.startsWith(PAGE))) long[rank]?.push(file);
    else if (isAlone) alone.push(file);
    else groups.set(group, [...(groups.get(group) ?? []), file]);
  }
  const shared = new Map(
    [...groups].map(([name, members]) => [
      name,
      members.length === 1 ? members : batches(name, members, folder),
    ]),
  );
  const page = shared.get('page') ?? [];
  shared.delete('page');
  const longest = LONGEST_SHARED.flatMap((name) => shared.get(name) ?? []);
  for (const name of LONGEST_SHARED) shared.delete(name);
  return [...page, ...long.flat(), ...longest, ...[...shared.values()].flat(), ...alone];
}

function batches(name: string, files: readonly string[], folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  const count = Math.ceil(files.length / BATCH_FILES);
  return Array.from({ length: count }, (_, index) => {
    const path = `${folder}/${name}-${index + 1}.test.mjs`;
    const members = files.filter((_, place) => place % count === index);
    const imports = members.map((file) => `import ${JSON.stringify(pathToFileURL(resolve(file)).href)};\n`);
    writeFileSync(path, imports.join(''));
    return path;
  });
}
