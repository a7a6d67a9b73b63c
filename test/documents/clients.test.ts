import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { codeBlocks, projectFolder } from '../support/document-code.ts';
import { runNode, type TestProcess } from '../support/processes.ts';

const blocks = await codeBlocks('docs/clients.md');
const programs = blocks.filter(({ language, file }) => language === 'ts' && file !== null);
const outputs = new Map(
  blocks
    .filter(({ language, file }) => language === 'text' && file !== null)
    .map(({ file, code }) => [file, code]),
);

/** All programs of the guide in one folder, as a reader has them who pastes them into files. */
async function guideFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await projectFolder();
  for (const { file, code } of programs) await writeFile(join(folder.path, file ?? ''), code);
  return folder;
}

async function ended(run: TestProcess): Promise<string> {
  const { code, signal } = await run.exit();
  assert.equal(code ?? signal, 0, run.output('stderr'));
  assert.equal(run.output('stderr'), '');
  return run.output('stdout');
}

suite('docs/clients.md', { concurrency: 2 }, () => {
  for (const [file, output] of outputs) {
    test(`${file} prints what stands below it`, async () => {
      await using folder = await guideFolder();
      await using run = runNode([String(file)], { cwd: folder.path });
      assert.equal(await ended(run), output);
    });
  }

  test('the test of a job passes', async () => {
    await using folder = await guideFolder();
    await using run = runNode(['--test', 'job.test.ts'], { cwd: folder.path });
    assert.match(await ended(run), /^ℹ pass 1$/m);
  });

  test('the consumer for a container ends with SIGTERM, also while there is no queue', async () => {
    await using folder = await guideFolder();
    const env = { OPSQUEUE_URL: 'localhost:9', OPSQUEUE_OBJECT_STORE: undefined };
    await using run = runNode(['consumer.ts'], { cwd: folder.path, env });
    await run.line(/^working$/);
    const { code } = await run.kill('SIGTERM');
    assert.equal(code, 0);
    assert.equal(run.output('stdout'), 'working\nstopped\n');
  });

  test('each program has its output in the guide, or a test of its own here', () => {
    const without = programs.map(({ file }) => file).filter((file) => !outputs.has(file));
    assert.deepEqual(without, ['primes.ts', 'job.test.ts', 'consumer.ts']);
  });
});
