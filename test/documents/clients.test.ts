import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { codeBlocks, outputOf, outputsOf, programsFolder } from '../support/document-code.ts';
import { runNode } from '../support/processes.ts';

const blocks = await codeBlocks('docs/clients.md');
const programs = blocks.filter(({ language, file }) => language === 'ts' && file !== null);
const outputs = outputsOf(blocks);

suite('docs/clients.md', { concurrency: 2 }, () => {
  for (const [file, output] of outputs) {
    test(`${file} prints what stands below it`, async () => {
      await using folder = await programsFolder(blocks);
      await using run = runNode([file], { cwd: folder.path });
      assert.equal(await outputOf(run), output);
    });
  }

  test('the test of a job passes', async () => {
    await using folder = await programsFolder(blocks);
    await using run = runNode(['--test', 'job.test.ts'], { cwd: folder.path });
    assert.match(await outputOf(run), /^ℹ pass 1$/m);
  });

  test('the consumer for a container ends with SIGTERM, also while there is no queue', async () => {
    await using folder = await programsFolder(blocks);
    const env = { OPSQUEUE_URL: 'localhost:9', OPSQUEUE_OBJECT_STORE: undefined };
    await using run = runNode(['consumer.ts'], { cwd: folder.path, env });
    await run.line(/^working$/);
    const { code } = await run.kill('SIGTERM');
    assert.equal(code, 0);
    assert.equal(run.output('stdout'), 'working\nstopped\n');
  });

  test('each program has its output in the guide, or a test of its own here', () => {
    const without = programs.map(({ file }) => file).filter((file) => !outputs.has(String(file)));
    assert.deepEqual(without, [
      'contract.ts',
      'contract-producer.ts',
      'primes.ts',
      'job.test.ts',
      'consumer.ts',
    ]);
  });
});
