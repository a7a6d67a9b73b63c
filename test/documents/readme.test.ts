import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { codeBlocks, outputOf, outputsOf, programsFolder } from '../support/document-code.ts';
import { ROOT, runNode } from '../support/processes.ts';
import { realQueue } from '../support/queues/real-queue.ts';
import { eventually } from '../support/time/eventually.ts';

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const readme = read('README.md');
const blocks = await codeBlocks('README.md');
const outputs = outputsOf(blocks);

suite('README.md', () => {
  for (const [file, output] of outputs) {
    test(`${file} prints what stands below it`, async () => {
      await using folder = await programsFolder(blocks);
      await using run = runNode([file], { cwd: folder.path });
      assert.equal(await outputOf(run), output);
    });
  }

  test('nightly.ts goes on with its submission when it is run again, and leaves nothing behind', async () => {
    await using queue = await realQueue();
    await using folder = await programsFolder(blocks);
    const env = { OPSQUEUE_URL: queue.url, OPSQUEUE_OBJECT_STORE: queue.objects.url };
    const file = join(folder.path, 'submission.id');
    await using first = runNode(['nightly.ts'], { cwd: folder.path, env });
    await eventually(() => existsSync(file) && readFileSync(file, 'utf8') !== '');
    await first.kill('SIGINT');
    const consumer = queue.consume();
    const working = consumer.runEachOp((word: string) => word.toUpperCase());
    await using second = runNode(['nightly.ts'], { cwd: folder.path, env });
    assert.equal((await outputOf(second)).trim(), 'TO BE CONTINUED');
    assert.ok(!existsSync(file));
    assert.equal(await queue.producer.countSubmissions({ state: 'completed' }), 1);
    assert.deepEqual(await Array.fromAsync(queue.objects.store.list('')), []);
    await consumer.stop();
    await working;
  });

  test('has the quick start as a program with its output', () => {
    assert.deepEqual([...outputs.keys()], ['quickstart.ts']);
  });

  test('shows the examples as they are', () => {
    const programs = blocks.filter(({ language, file }) => language === 'ts' && file === null);
    const examples = ['consumer', 'producer'].map((name) => read(`examples/capitalize-text/${name}.ts`));
    assert.deepEqual(
      programs.map(({ code }) => code),
      examples,
    );
  });

  test('has no figure and no command that docs/performance.md has not', () => {
    const performance = read('docs/performance.md');
    const rows = [...readme.matchAll(/^\| \*\*([\d. ]+) [^*]*\*\*.*\| `(npm run bench -- [^`]+)` \|$/gm)];
    assert.equal(rows.length, 3);
    for (const [, figure = '', command = ''] of rows) {
      assert.ok(performance.includes(figure), figure);
      assert.ok(performance.includes(command), command);
    }
  });

  test('has badges that agree with package.json', () => {
    const { license, engines } = JSON.parse(read('package.json')) as {
      license: string;
      engines: { node: string };
    };
    assert.match(read('docs/images/badge-license.svg'), new RegExp(`<title>license: ${license}</title>`));
    const node = engines.node.replace('>', '&gt;');
    assert.ok(read('docs/images/badge-node.svg').includes(`<title>node: ${node}</title>`));
  });

  test('leads to files that exist', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, path = '']) => path);
    const missing = links.filter((path) => !path.startsWith('https://') && !existsSync(join(ROOT, path)));
    assert.deepEqual(missing, []);
    assert.ok(links.length > 20);
  });
});
