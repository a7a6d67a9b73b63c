import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CodeBlock, codeBlocks, projectFolder } from '../support/document-code.ts';
import { ROOT } from '../support/processes.ts';

const documents = ['README.md', ...globSync('docs/*.md', { cwd: ROOT })];

/** What the compiler says of a block, by lines of the document; programs of one document see each other. */
async function problemsOf(blocks: readonly CodeBlock[]): Promise<string> {
  await using folder = await projectFolder();
  const { compilerOptions } = JSON.parse(await readFile(join(ROOT, 'tsconfig.json'), 'utf8'));
  // What a reader's project has; the flags of our own house are not theirs.
  const options = {
    ...compilerOptions,
    typeRoots: [join(ROOT, 'node_modules/@types')],
    noUnusedLocals: false,
  };
  await writeFile(join(folder.path, 'tsconfig.json'), JSON.stringify({ compilerOptions: options }));
  for (const { document, line, file, code, declarations } of blocks) {
    const inside = join(folder.path, document.replaceAll('/', '-'));
    await mkdir(inside, { recursive: true });
    await writeFile(
      join(inside, file ?? `line-${line}.ts`),
      `${declarations.replaceAll('\n', ' ')}\n${code}`,
    );
  }
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const args = ['-p', folder.path, '--noEmit', '--pretty', 'false'];
  const { promise, resolve } = Promise.withResolvers<string>();
  execFile(tsc, args, { cwd: folder.path }, (error, stdout, stderr) => {
    resolve(error === null ? '' : `${stdout}${stderr}` || String(error));
  });
  return await promise;
}

test('the code in README and docs has no type error', async () => {
  const blocks = (await Promise.all(documents.map(codeBlocks))).flat();
  const code = blocks.filter(({ language }) => language === 'ts');
  assert.ok(code.length > 18, `only ${code.length} blocks found`);
  assert.equal(await problemsOf(code), '');
});

test('a type error in a document is seen', async () => {
  const block = { document: 'README.md', line: 1, language: 'ts', file: null, declarations: '' };
  const code =
    "import { ProducerClient } from 'opsqueue/producer';\nnew ProducerClient('localhost').run();\n";
  assert.match(await problemsOf([{ ...block, code }]), /README\.md\/line-1\.ts\(3,33\): error TS\d+/);
});
