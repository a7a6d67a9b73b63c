/** Needs a C compiler and, for the last one, prlimit: run by `npm run test:crash`. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { DiskShim, ERRNO, EVERY_KIND, KIND, shimProblem } from '../../support/crash/disk-shim.ts';
import { Ledger } from '../../support/crash/ledger.ts';
import { Load } from '../../support/crash/load.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { verifyLedger } from '../../support/crash/verify.ts';
import { runOpsqueue, startQueue, type TestProcess } from '../../support/processes.ts';
import { limitFileSize, prlimitProblem } from '../../support/store/file-size-limit.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const SHARES = { start: 0.1, work: 0.1, trouble: 0.2 };

const insertOf = (prefix: string, count: number) =>
  JSON.stringify({ chunk_contents: { SeeObjectStorage: { prefix, count } } });

async function insert(client: RawQueue, prefix: string, count: number): Promise<bigint> {
  const answer = await client.post('/producer/submissions', insertOf(prefix, count));
  assert.equal(answer.status, 200, answer.body.toString());
  return BigInt(answer.body.toString());
}

test('the n-th call of the disk failing while a queue starts: it says why and ends, or starts; n = 1, 2, 3, ... until a start passes', {
  timeout: crashPatienceMs(SHARES.start),
}, async (t) => {
  assert.equal(shimProblem(), null);
  let [refusals, starts] = [0, 0];
  for (const kind of ['new', 'left by a crash'] as const) {
    await using folder = await temporaryFolder();
    const shim = new DiskShim(folder.path);
    const flags = ['--database-filename', shim.filename];
    const known: bigint[] = [];
    for (let n = 1; ; n++) {
      if (kind !== 'new') {
        // What it finds is a log that has to be read.
        shim.heal();
        const { queue, port } = await startQueue(flags, { env: shim.env });
        using client = await RawQueue.connect(port);
        known.push(await insert(client, `s-${n}`, 3));
        await queue.kill('SIGKILL');
      } else {
        for (const end of ['', '-wal', '-shm', '-journal'])
          await rm(`${shim.filename}${end}`, { force: true });
      }
      shim.fail(EVERY_KIND, ERRNO.EIO, n, 1);
      await using queue = runOpsqueue(['--port', '0', ...flags], { env: shim.env });
      const port = await portOf(queue);
      const hasFailed = shim.failed > 0;
      shim.heal();
      if (port === null) {
        assert.equal((await queue.exit()).code, 1, queue.output('stderr'));
        assert.match(queue.output('stderr'), /opsqueue: cannot start: (?:the )?database [^\n]+\n$/);
        assert.ok(hasFailed, queue.output('stderr'));
        refusals++;
      } else {
        using client = await RawQueue.connect(port);
        for (const id of known) assert.ok(await client.status(id), `${id} is gone after n = ${n}`);
        await queue.kill('SIGTERM');
        starts++;
        if (!hasFailed) break;
      }
    }
  }
  t.diagnostic(`${refusals} refusals, ${starts} starts`);
  assert.ok(refusals > 5, `only ${refusals} refusals`);
});

test('the n-th call of the disk failing while a queue works: every request is answered in the end; n = 1, 2, 3, ... until a run passes', {
  timeout: crashPatienceMs(SHARES.work),
}, async (t) => {
  assert.equal(shimProblem(), null);
  await using folder = await temporaryFolder();
  const shim = new DiskShim(folder.path);
  const flags = ['--database-filename', shim.filename];
  const { queue, port } = await startQueue(flags, { env: shim.env });
  await using _queue = queue;
  using client = await RawQueue.connect(port);
  const known = new Map<bigint, string>();
  for (let n = 1; ; n++) {
    shim.fail(EVERY_KIND, n % 2 === 0 ? ERRNO.EIO : ERRNO.ENOSPC, n, 1);
    for (let i = 0; i < 3; i++) known.set(await insert(client, `n-${n}-${i}`, 10), 'in_progress');
    const [first = 0n] = [...known.keys()].slice(-3);
    const answer = await client.post(`/producer/submissions/cancel/${first}`, '');
    assert.equal(answer.status, 200, answer.body.toString());
    known.set(first, 'cancelled');
    const { failed } = shim;
    shim.heal();
    // Answers may leave a moment before the queue says that it is well.
    if (failed > 0) await queue.lines(/the store takes batches again/, n);
    assert.equal((await client.get('/ping')).status, 200);
    if (failed > 0) continue;
    t.diagnostic(`${n - 1} calls failed, one by one`);
    assert.ok(n > 8, `only ${n - 1} calls`);
    break;
  }
  await queue.kill('SIGKILL');
  const again = await startQueue(flags);
  await using _again = again.queue;
  using after = await RawQueue.connect(again.port);
  for (const [id, state] of known) assert.equal((await after.status(id))?.status.state, state, `${id}`);
});

interface Trouble {
  begin(shim: DiskShim, pid: number): void;
  end(shim: DiskShim, pid: number): void;
}

const injected = (kinds: number, error: number): Trouble => ({
  begin: (shim) => shim.fail(kinds, error, 1),
  end: (shim) => shim.heal(),
});

const TROUBLES: Readonly<Record<string, Trouble>> = {
  'is full': injected(KIND.write, ERRNO.ENOSPC),
  'fails to write': injected(KIND.write, ERRNO.EIO),
  'fails to sync': injected(KIND.sync, ERRNO.EIO),
  'takes no larger files (prlimit)': {
    begin: (_shim, pid) => limitFileSize(8192, pid),
    end: (_shim, pid) => limitFileSize('unlimited', pid),
  },
};

for (const [what, trouble] of Object.entries(TROUBLES)) {
  test(`under load, on a disk that ${what}: 503, no acknowledgement, no chunk after some seconds; all of it goes on, or is there after a crash`, {
    timeout: crashPatienceMs(SHARES.trouble / 4),
  }, async (t) => {
    assert.equal(shimProblem(), null);
    assert.equal(what.includes('prlimit') ? prlimitProblem() : null, null);
    const { random, numbers } = crashRounds(t, 2, SHARES.trouble / 4);
    await using folder = await temporaryFolder();
    const shim = new DiskShim(folder.path);
    const flags = ['--database-filename', shim.filename];
    const ledger = new Ledger();
    for (const round of numbers) {
      await using stack = new AsyncDisposableStack();
      ledger.restarted();
      const { queue, port } = await startQueue(flags, { env: shim.env });
      stack.use(queue);
      using client = await RawQueue.connect(port);
      await verifyLedger(client, ledger);
      const load = Load.start(port, { ledger, random, name: `${round}` });
      await load.reaches(ledger.facts + 50);
      trouble.begin(shim, queue.pid);
      await queue.line(/the store takes no batches/);
      assert.deepEqual(await answerOf(client.get('/ping')), [503, 'unhealthy']);
      const [status, text] = await answerOf(client.post('/producer/submissions', insertOf('refused', 1)));
      assert.deepEqual([status, text], [503, '"the store takes nothing at the moment"']);
      // Only now: answers of before the trouble may be read after the line of the log.
      const inserted = ledger.byId.size;
      await queue.line(/no chunk is handed out/);
      assert.equal(ledger.byId.size, inserted, 'acknowledged, and not written');
      if (round % 2 === 1) {
        trouble.end(shim, queue.pid);
        await queue.line(/chunks are handed out again/);
        assert.deepEqual(await answerOf(client.get('/ping')), [200, 'pong']);
        await load.reaches(ledger.facts + 50);
      }
      await queue.kill('SIGKILL');
      shim.heal();
      await load.ended();
    }
    ledger.restarted();
    const { queue, port } = await startQueue(flags);
    await using _queue = queue;
    using client = await RawQueue.connect(port);
    await verifyLedger(client, ledger);
    assert.equal(await client.idByPrefix('refused'), null);
  });
}

async function answerOf(asked: ReturnType<RawQueue['get']>): Promise<[status: number, text: string]> {
  const answer = await asked;
  return [answer.status, answer.body.toString()];
}

/** null: it has ended instead. */
async function portOf(queue: TestProcess): Promise<number | null> {
  try {
    const [, port] = await queue.line(/ listens on http:\/\/[^ ]*:(\d+)/);
    return Number(port);
  } catch (error) {
    if (/ ended \(/.test(String(error))) return null;
    throw error;
  }
}
