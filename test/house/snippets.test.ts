import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What the text around a snippet has introduced; a snippet that declares a name itself does not get it. */
const KNOWN: Readonly<Record<string, string>> = {
  producer: "declare const producer: import('opsqueue/producer').ProducerClient;",
  consumer: "declare const consumer: import('opsqueue/consumer').ConsumerClient;",
  words: 'declare const words: readonly string[];',
  operations: 'declare const operations: readonly unknown[];',
  use: 'declare function use(result: unknown): void;',
  work: 'declare function work(op: unknown): unknown;',
  ProducerClient: "import { ProducerClient } from 'opsqueue/producer';",
  SubmissionFailedError: "import { SubmissionFailedError } from 'opsqueue/producer';",
  Strategy: "import { Strategy } from 'opsqueue/consumer';",
};

function completed(snippet: string): string {
  const missing = Object.entries(KNOWN).filter(
    ([name]) =>
      new RegExp(`\\b${name}\\b`).test(snippet) &&
      !new RegExp(`(?:const|function) ${name}\\b|import \\{[^}]*\\b${name}\\b`).test(snippet),
  );
  return [...missing.map(([, declaration]) => declaration), snippet, 'export {};'].join('\n');
}

test('the TypeScript in README.md and docs/ passes the compiler', async () => {
  await using folder = await temporaryFolder();
  let count = 0;
  for (const file of ['README.md', ...globSync('docs/*.md', { cwd: root })]) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [index, match] of [...text.matchAll(/^```ts\n(.*?)^```/gms)].entries()) {
      writeFileSync(join(folder.path, `${basename(file, '.md')}-${index + 1}.ts`), completed(match[1]!));
      count++;
    }
  }
  assert.ok(count >= 7, `found only ${count}`);
  const entry = (name: string) => [join(root, `src/${name}/index.ts`)];
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noUnusedLocals: false,
      typeRoots: [join(root, 'node_modules/@types')],
      paths: {
        opsqueue: [join(root, 'src/index.ts')],
        'opsqueue/producer': entry('producer'),
        'opsqueue/consumer': entry('consumer'),
        'opsqueue/server': entry('server'),
      },
    },
    include: ['*.ts'],
  };
  writeFileSync(join(folder.path, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder.path, 'package.json'), '{ "type": "module" }');
  const tsc = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder.path], { encoding: 'utf8' });
  assert.equal(tsc.status, 0, tsc.stdout);
});
