import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { freePort } from '../support/network/free-port.ts';
import { PROGRAM, ROOT, runOpsqueue, startQueue, TestProcess } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { eventually } from '../support/time/eventually.ts';

const TALKERS = 600;

/** Makes the queue log a warning with a stack for each. */
async function makeItTalk(port: number): Promise<void> {
  let left = TALKERS;
  const talk = async () => {
    while (left-- > 0) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/consumer`);
      await once(socket, 'open');
      socket.send(Uint8Array.of(0xff, 0xff));
      await once(socket, 'close');
    }
  };
  await Promise.all(Array.from({ length: 20 }, talk));
}

async function ping(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/ping`)).text();
}

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** Its stderr goes where the shell is told; `$1` is a folder of its own. */
function queueWithStderr(redirection: string, folder: string): TestProcess {
  const command = `exec "$0" "${PROGRAM}" --port 0 --host 127.0.0.1 --database-filename "$1/q.db" ${redirection}`;
  return new TestProcess('sh', ['-c', command, process.execPath, folder]);
}

async function portOf(queue: TestProcess): Promise<number> {
  return Number((await queue.line(/ listens on http:\/\/[^ ]*:(\d+)/))[1]);
}

const isPosix = process.platform !== 'win32';
const noFull = existsSync('/dev/full') ? false : 'there is no /dev/full';

/** A queue whose stderr nothing reads yet. The caller kills it. */
async function queueWithPipes() {
  const args = ['--port', '0', '--host', '127.0.0.1', '--database-filename', 'file::memory:'];
  const queue = spawn(process.execPath, [PROGRAM, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said] = (await once(queue.stdout, 'data')) as [Buffer];
  return { queue, port: Number(/:(\d+) /.exec(said.toString())![1]) };
}

for (const [what, redirection, skip] of [
  ['stderr on a full disk', '2>/dev/full', noFull],
  ['stderr in a pipe that is not read', '3<>"$1/pipe" 2>"$1/pipe"', isPosix ? false : 'no FIFOs'],
] as const) {
  test(`${what} neither ends the queue nor holds it up; lost lines are counted`, { skip }, async () => {
    await using folder = await temporaryFolder();
    execFileSync('mkfifo', [join(folder.path, 'pipe')]);
    await using queue = queueWithStderr(redirection, folder.path);
    const port = await portOf(queue);
    await makeItTalk(port);
    assert.equal(await ping(port), 'pong');
    assert.ok((await metric(port, 'log_lines_lost_total')) > 0);
    assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
  });
}

test('stderr in a socket that is not read, as a service manager hands it down, is no different', async () => {
  const { queue, port } = await queueWithPipes();
  try {
    await makeItTalk(port);
    assert.ok((await metric(port, 'log_lines_lost_total')) > 0);
    // From now on it is read: what waited arrives, and then what was lost.
    let heard = '';
    queue.stderr.on('data', (bytes: Buffer) => {
      heard += bytes.toString();
    });
    await eventually(() => /"lines":\d+,"msg":"log lines were lost/.test(heard));
    const exited = once(queue, 'exit');
    queue.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
    for (const line of heard.trimEnd().split('\n')) JSON.parse(line);
    assert.match(heard, /"signal":"SIGTERM","msg":"stopping"/);
  } finally {
    queue.kill('SIGKILL');
  }
});

test('a reader of stderr that goes away does not end the queue', async () => {
  const { queue, port } = await queueWithPipes();
  try {
    queue.stderr.destroy();
    await once(queue.stderr, 'close');
    await makeItTalk(port);
    assert.ok((await metric(port, 'log_lines_lost_total')) > 0);
    assert.equal(await ping(port), 'pong');
  } finally {
    queue.kill('SIGKILL');
  }
});

test('a reader of stdout that goes away does not end a queue', async () => {
  const port = await freePort();
  const args = ['--port', String(port), '--host', '127.0.0.1', '--database-filename', 'file::memory:'];
  await using queue = runOpsqueue(args);
  queue.child.stdout?.destroy();
  await queue.line(/open submissions are loaded/);
  // It answers for the queue a moment after that line.
  while ((await ping(port)) === 'unhealthy');
  for (let i = 0; i < 20; i++) assert.equal(await ping(port), 'pong');
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
});

test('a queue whose line cannot be written serves; a command whose output cannot be fails', {
  skip: noFull,
}, async () => {
  const port = await freePort();
  const serve = `exec "$0" "${PROGRAM}" --port ${port} --host 127.0.0.1 --database-filename file::memory: >/dev/full`;
  await using queue = new TestProcess('sh', ['-c', serve, process.execPath]);
  await queue.line(/open submissions are loaded/);
  const count = `exec "$0" "${PROGRAM}" count --url localhost:${port} >/dev/full`;
  await using counting = new TestProcess('sh', ['-c', count, process.execPath]);
  assert.deepEqual(await counting.exit(), { code: 1, signal: null });
  assert.match(counting.output('stderr'), /^opsqueue: cannot write to stdout: [^\n]+\n$/);
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
});

test('SIGUSR1 opens no debugger, and SIGHUP stops the queue in good order', {
  skip: isPosix ? false : 'no such signals',
}, async () => {
  const { queue, port } = await startQueue(['--database-filename', 'file::memory:']);
  await using _ = queue;
  queue.child.kill('SIGUSR1');
  for (let i = 0; i < 20; i++) assert.equal(await ping(port), 'pong');
  assert.deepEqual(await queue.kill('SIGHUP'), { code: 0, signal: null });
  assert.match(queue.output('stderr'), /"signal":"SIGHUP","msg":"stopping"/);
  assert.doesNotMatch(queue.output('stderr'), /[Dd]ebugger/);
});
