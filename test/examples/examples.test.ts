import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, runNode, type TestProcess } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Runs an example as its command does, with a temporary folder that must be empty again at the end. */
async function runExample(
  args: readonly string[],
  during: (run: TestProcess) => Promise<void> = async () => {},
): Promise<{
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}> {
  await using temporary = await temporaryFolder();
  await using run = runNode(['examples/run.ts', ...args], {
    env: { TMPDIR: temporary.path },
    patienceMs: 60_000,
  });
  await during(run);
  // Its processes share its output: this waits until the last of them is gone.
  const { code, signal } = await run.exit();
  assert.deepEqual(await readdir(temporary.path), []);
  return { code, signal, stdout: run.output('stdout'), stderr: run.output('stderr') };
}

async function folderOfFiles(path: string, files: number): Promise<string> {
  const folder = join(path, 'files');
  await mkdir(join(folder, 'sub/empty'), { recursive: true });
  for (let i = 0; i < files; i++) {
    await writeFile(join(folder, i % 2 === 0 ? '' : 'sub', `${i}.txt`), `${i} `.repeat(i * 100));
  }
  await symlink('nowhere', join(folder, 'link'));
  return folder;
}

test('capitalize-text gives the text back, capitalized', async () => {
  const { code, stdout, stderr } = await runExample(['capitalize-text']);
  assert.equal(code, 0, stderr);
  const expected = (await readFile(join(ROOT, 'examples/capitalize-text/producer.ts'), 'utf8')).replaceAll(
    /(?<=^|\s)\S/g,
    (letter) => letter.toUpperCase(),
  );
  assert.ok(stdout.includes(expected), stdout);
});

test('integer-increment finds every result, in order', async () => {
  const { code, stdout, stderr } = await runExample(['integer-increment', '50000']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^50000 integers incremented, all there and in order/m);
});

test('many-consumers-fairness lets no small customer wait for the large one', async () => {
  const { code, stdout, stderr } = await runExample(['many-consumers-fairness']);
  assert.equal(code, 0, stderr);
  const finished = [...stdout.matchAll(/^customer (\d) has all (\d+) results/gm)].map((match) => match[1]);
  assert.deepEqual(finished.toSorted(), ['1', '2', '3', '4']);
  assert.equal(finished.at(-1), '1');
  const served = [...stdout.matchAll(/serves customer (\d)/g)].map((match) => match[1]);
  assert.equal(served.length, 130);
  const whenAllWereThere = served.slice(served.indexOf('4'), served.lastIndexOf('4'));
  const large = whenAllWereThere.filter((customer) => customer === '1').length;
  assert.ok(large <= whenAllWereThere.length / 2, `customer 1 got ${large} of ${whenAllWereThere.length}`);
});

test('many-consumers-fairness takes another strategy, in its text form', async () => {
  const { code, stdout, stderr } = await runExample(
    ['many-consumers-fairness', 'selectExcept(customer, [4], oldest)'],
    async (run) => {
      await run.line(/^customer 1 has all 100 results/);
      await run.line(/^customer 3 has all 10 results/);
      // Nobody serves customer 4.
      run.child.kill('SIGINT');
    },
  );
  assert.equal(code, null, stderr);
  const served = [...stdout.matchAll(/serves customer (\d)/g)].map((match) => match[1]);
  assert.deepEqual([...new Set(served)].sort(), ['1', '2', '3']);
});

for (const [strategy, message] of [
  ['fair', /there is no strategy "fair"; known are oldest, newest, random, preferDistinct/],
  ['maxSimultaneous(customer, 0)', /max must be an integer of at least 1, got 0/],
] as const) {
  test(`many-consumers-fairness says what is wrong with the strategy ${strategy}, before it starts anything`, async () => {
    const { code, stdout, stderr } = await runExample(['many-consumers-fairness', strategy]);
    assert.equal(code, 1);
    assert.match(stderr, message);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /^ +at /m);
  });
}

test('the demo computes every file of a folder, says so, and is right', async () => {
  await using folder = await temporaryFolder();
  const files = await folderOfFiles(folder.path, 60);
  const { code, stdout, stderr } = await runExample(['checksum-tree', files]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^files +60$/m);
  assert.match(stdout, /^chunks +6, of up to 10 files each$/m);
  const bytes = Array.from({ length: 60 }, (_, i) => `${i} `.length * i * 100).reduce(
    (sum, size) => sum + size,
    0,
  );
  assert.match(stdout, new RegExp(`^bytes +${bytes.toLocaleString('en-US')} `, 'm'));
  assert.match(stdout, /^checked +20 results/m);
  assert.match(stdout, /operations\/s/);
});

test('the demo says what is wrong with a folder', async (t) => {
  await using folder = await temporaryFolder();
  await mkdir(join(folder.path, 'empty'));
  await writeFile(join(folder.path, 'file'), '');
  const cases = new Map([
    ['empty', /^there are no files below .*empty$/m],
    ['missing', /^there is no folder .*missing$/m],
    ['file', /^.*file is no folder$/m],
  ]);
  if (process.getuid?.() !== 0) {
    await mkdir(join(folder.path, 'locked'));
    await chmod(join(folder.path, 'locked'), 0);
    cases.set('locked', /^the folder .*locked cannot be read$/m);
  }
  for (const [name, message] of cases) {
    await t.test(name, async () => {
      const { code, stderr } = await runExample(['checksum-tree', join(folder.path, name)]);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /^ +at /m);
    });
  }
});

test('Ctrl-C ends the demo cleanly, early and in the middle', async (t) => {
  await using folder = await temporaryFolder();
  const files = await folderOfFiles(folder.path, 400);
  for (const [when, line] of [
    ['before anything runs', /./],
    ['in the middle of work', /^files below/],
  ] as const) {
    await t.test(when, async () => {
      const { signal, stderr } = await runExample(['checksum-tree', files], async (run) => {
        await run.line(line);
        run.child.kill('SIGINT');
      });
      assert.equal(signal, 'SIGINT');
      assert.match(stderr, /interrupted; everything is ended and cleared away/);
      assert.doesNotMatch(stderr, /^ +at /m);
    });
  }
});

test('an unknown example is answered with those there are', () => {
  assert.throws(
    () =>
      execFileSync(process.execPath, ['examples/run.ts', 'nonsense'], {
        cwd: ROOT,
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    (error: { status: number; stderr: string }) => {
      assert.equal(error.status, 2);
      assert.match(
        error.stderr,
        /capitalize-text, checksum-tree, integer-increment, many-consumers-fairness/,
      );
      return true;
    },
  );
});

test('an example that is to stay shows where the page is, until it is interrupted', async () => {
  const { signal, stdout } = await runExample(['integer-increment', '--stay', '500'], async (run) => {
    const [, url] = await run.line(
      /^the queue stays, with its page at (http:\/\/localhost:\d+\/); Ctrl-C ends it$/,
    );
    const page = await fetch(url!);
    assert.match(await page.text(), /<title>opsqueue<\/title>/);
    await run.kill('SIGINT');
  });
  assert.equal(signal, 'SIGINT');
  assert.match(stdout, /^a queue with its page at http:/m);
});
