import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { runCommand } from '../support/command.ts';
import { freePort } from '../support/network/free-port.ts';
import { runOpsqueue, startQueue } from '../support/processes.ts';
import { fileDigest } from '../support/store/file-digest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { eventually } from '../support/time/eventually.ts';

const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const inMemory = ['--database-filename', 'file::memory:'];

async function ping(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/ping`)).text();
}

test('says on one line where it listens and how to open it, and ends in good order on SIGTERM', async () => {
  await using folder = await temporaryFolder();
  const { queue, port } = await startQueue([], {
    env: { OPSQUEUE_DATABASE_FILENAME: `${folder.path}/env.db` },
  });
  await using _ = queue;
  assert.equal(await ping(port), 'pong');
  assert.ok((await stat(`${folder.path}/env.db`)).isFile());
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
  const lines = queue.output('stdout').trimEnd().split('\n');
  assert.equal(lines.length, 1);
  assert.match(
    lines[0]!,
    new RegExp(
      `^opsqueue ${version} listens on http://(localhost|127\\.0\\.0\\.1):${port} \\(this machine only; --host 0\\.0\\.0\\.0 opens it to others, without access control\\)$`,
    ),
  );
});

test('listens on the hosts that it is told, and says no more than that', async () => {
  const { queue, port } = await startQueue(['serve', '--port', '0', ...inMemory, '--host', '0.0.0.0']);
  await using _ = queue;
  assert.equal(await ping(port), 'pong');
  assert.deepEqual(await queue.kill('SIGINT'), { code: 0, signal: null });
  assert.equal(queue.output('stdout'), `opsqueue ${version} listens on http://0.0.0.0:${port}\n`);
});

test('every flag comes from the environment as well, and the command line wins', async () => {
  const { stdout } = await runCommand(['serve', '--help']);
  const flags = [...stdout.matchAll(/^ {2}(?:-\w, )?--([a-z-]+) </gm)].map((match) => match[1]!);
  assert.ok(flags.length >= 15);
  for (const flag of flags) {
    const variable = `OPSQUEUE_${flag.toUpperCase().replaceAll('-', '_')}`;
    // Any text may be the name of a file; the first test of this file starts a queue with that variable.
    if (flag === 'database-filename') continue;
    const wrong = flag === 'name' ? 'longer than forty characters, as names may be' : 'no such / value';
    process.env[variable] = wrong;
    const { code, stderr } = await runCommand(['serve', ...inMemory]).finally(
      () => delete process.env[variable],
    );
    assert.equal(code, 2, stderr);
    // Of a store what was given is not repeated: it may hold a password.
    const got = flag === 'store' ? '' : `, got "${wrong}"`;
    assert.match(stderr, new RegExp(`^opsqueue: ${variable} must be [^\n]*${got}\n$`));
  }
  const env = { OPSQUEUE_PORT: 'many', OPSQUEUE_STORE: 'sqlite:/proc/nope/queue.db' };
  const { queue, port } = await startQueue([...inMemory, '--port', '0'], { env });
  await using _ = queue;
  assert.equal(await ping(port), 'pong');
});

test('variables that are empty count as not set', async () => {
  const { stdout } = await runCommand(['serve', '--help']);
  const flags = [...stdout.matchAll(/^ {2}(?:-\w, )?--([a-z-]+) </gm)].map((match) => match[1]!);
  const variables = [...flags, 'log', 'url'].map(
    (name) => `OPSQUEUE_${name.toUpperCase().replaceAll('-', '_')}`,
  );
  const env = Object.fromEntries(variables.map((variable) => [variable, '']));
  const { queue, port } = await startQueue(inMemory, { env });
  await using _ = queue;
  await using asked = runOpsqueue(['count', '--url', `localhost:${port}`], { env });
  assert.deepEqual(await asked.exit(), { code: 0, signal: null });
  await using nowhere = runOpsqueue(['status', '1'], { env });
  await nowhere.line(/localhost:3999|submission 1 /);
});

test('what Kubernetes sets for a Service called opsqueue is not taken for flags', async () => {
  const env = {
    OPSQUEUE_PORT: 'tcp://10.43.0.7:3999',
    OPSQUEUE_PORT_3999_TCP: 'tcp://10.43.0.7:3999',
    OPSQUEUE_PORT_3999_TCP_ADDR: '10.43.0.7',
    OPSQUEUE_PORT_3999_TCP_PORT: '3999',
    OPSQUEUE_PORT_3999_TCP_PROTO: 'tcp',
    OPSQUEUE_SERVICE_HOST: '10.43.0.7',
    OPSQUEUE_SERVICE_PORT: '3999',
    OPSQUEUE_SERVICE_PORT_HTTP: '3999',
  };
  await using queue = runOpsqueue([...inMemory, '--host', '127.0.0.2'], { env });
  // The default port may be taken on the machine of the test; either way the variable was no reason to give up.
  await queue.line(/listens on http:\/\/127\.0\.0\.2:3999|127\.0\.0\.2.*3999.*in use/);
  await queue.line(/OPSQUEUE_PORT ignored: Kubernetes/);
  for (const wrong of ['http://10.43.0.7:3999', 'tcp://10.43.0.7']) {
    await using refused = runOpsqueue(inMemory, { env: { OPSQUEUE_PORT: wrong } });
    await refused.line(/OPSQUEUE_PORT/);
    assert.deepEqual(await refused.exit(), { code: 2, signal: null });
  }
});

test('takes every flag of the original', async () => {
  const { queue, port } = await startQueue([
    ...['-p', '0', '--database-filename', 'file::memory:?cache=shared', '--reservation-expiration', '1h 30m'],
    ...['--max-read-pool-size', '16', '--heartbeat-interval', '500ms', '--max-missable-heartbeats', '2'],
    ...['--max-chunk-retries', '3', '--max-submission-age', '5 seconds', '--max-submissions-returned', '10'],
    ...['--report-bound-port-pipe', '-1'],
  ]);
  await using _ = queue;
  assert.equal(await ping(port), 'pong');
});

test('tells its port to the process that started it', async () => {
  await using queue = runOpsqueue([...inMemory, '-p', '0', '--report-bound-port-pipe', '3'], {
    extraPipes: 1,
  });
  const pipe = queue.child.stdio[3] as Readable;
  const parts = await pipe.toArray();
  const bytes = Buffer.concat(parts);
  assert.equal(bytes.length, 2);
  assert.equal(await ping(bytes.readUInt16BE()), 'pong');
});

test('closes the pipe unwritten if it does not start', async () => {
  const taken = createServer();
  taken.listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  await using queue = runOpsqueue(
    [...inMemory, '--host', '127.0.0.1', '--port', String(port), '--report-bound-port-pipe', '3'],
    { extraPipes: 1 },
  );
  assert.deepEqual(await (queue.child.stdio[3] as Readable).toArray(), []);
  assert.deepEqual(await queue.exit(), { code: 1, signal: null });
  assert.equal(queue.output('stdout'), '');
  assert.match(queue.output('stderr'), new RegExp(`^opsqueue: cannot start: .*${port}.* in use.*\n$`));
  taken.close();
});

for (const [why, args, names] of [
  ['a port out of range', ['--port', '70000'], /--port.*65535.*70000/],
  ['a port that is no number', ['-p', 'http'], /--port.*http/],
  ['a body above all measure', ['--max-body-bytes', '268435457'], /--max-body-bytes.*268435456/],
  ['a message above all measure', ['--max-frame-bytes', '268435457'], /--max-frame-bytes.*268435456/],
  ['a duration without unit', ['--heartbeat-interval', '5'], /--heartbeat-interval.*"5"/],
  ['a duration that is none', ['--reservation-expiration', 'soon'], /--reservation-expiration.*soon/],
  ['a negative number', ['--max-chunk-retries', '-1'], /--max-chunk-retries.*-1/],
  ['an unknown flag', ['--prot', '1'], /--prot/],
  ['a missing value', ['--port'], /--port.*missing/],
  ['an unknown command', ['sevre'], /sevre.*--help/],
  ['a host that is none', ['--host', 'a b'], /--host.*a b/],
  [
    'a descriptor that was not handed down',
    ['--report-bound-port-pipe', '99'],
    /--report-bound-port-pipe.*99/,
  ],
] as const) {
  test(`${why} is one line that names it, and status 2`, async () => {
    const { code, stdout, stderr } = await runCommand(args);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^opsqueue: [^\n]+\n$/);
    assert.match(stderr, names);
  });
}

test('an unknown log level is one line that names it, and status 2', async () => {
  process.env.OPSQUEUE_LOG = 'loud';
  const { code, stderr } = await runCommand(['serve', ...inMemory]).finally(
    () => delete process.env.OPSQUEUE_LOG,
  );
  assert.equal(code, 2);
  assert.match(stderr, /^opsqueue: OPSQUEUE_LOG must be [^\n]+, got "loud"\n$/);
});

test('databases that cannot be served are one line that names the file, status 1, and left alone', async (t) => {
  await using folder = await temporaryFolder();
  const file = (name: string) => `${folder.path}/${name}`;
  await writeFile(
    file('text.db'),
    'this is no database, and long enough to be taken for one by nobody at all',
  );
  await mkdir(file('folder.db'));
  const newer = new DatabaseSync(file('newer.db'));
  newer.exec('CREATE TABLE something (x); PRAGMA user_version = 1000000');
  newer.close();
  const { queue } = await startQueue(['--database-filename', file('used.db')]);
  await using _ = queue;

  for (const name of ['text.db', 'folder.db', 'newer.db', 'used.db', 'missing/new.db']) {
    await t.test(name, async () => {
      const digest = async () =>
        (await stat(file(name)).catch(() => null))?.isFile() && fileDigest(file(name));
      const before = await digest();
      const { code, stdout, stderr } = await runCommand(['--port', '0', '--database-filename', file(name)]);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, /^opsqueue: cannot start: [^\n]+\n$/);
      assert.ok(stderr.includes(name), stderr);
      assert.equal(await digest(), before);
    });
  }
});

test('SIGTERM ends it while it still starts', async (t) => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/opsqueue.db`;
  const { queue: first } = await startQueue(['--database-filename', file]);
  await first.kill('SIGTERM');
  // The start waits for a writer of the database, and its thread can do nothing else meanwhile.
  const writer = new DatabaseSync(file);
  t.after(() => writer.close());
  writer.exec('BEGIN IMMEDIATE');
  await rm(`${file}.lock`);

  await using patient = runOpsqueue(['--port', '0', '--database-filename', file]);
  await eventually(() => existsSync(`${file}.lock`));
  patient.child.kill('SIGTERM');
  await patient.line(/stopping before the start is complete/);
  writer.exec('ROLLBACK');
  assert.deepEqual(await patient.exit(), { code: 0, signal: null });
  assert.equal(patient.output('stdout'), '');
});

test('SIGTERM and Ctrl-C end it while it waits for a database server, with status 0', async () => {
  const port = await freePort();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    await using patient = runOpsqueue(['--port', '0', '--store', `postgres://a:b@127.0.0.1:${port}/c`]);
    await patient.line(/waiting for the database/);
    assert.deepEqual(await patient.kill(signal), { code: 0, signal: null });
    assert.match(patient.output('stderr'), /stopping before the start is complete/);
    assert.equal(patient.output('stdout'), '');
  }
});

test('prints version and help on stdout', async () => {
  assert.deepEqual(await runCommand(['--version']), { code: 0, stdout: `opsqueue ${version}\n`, stderr: '' });
  const help = await runCommand(['--help']);
  assert.equal(help.code, 0);
  for (const word of ['serve', 'status', 'watch', 'cancel', 'count', 'lookup', 'version', 'Examples']) {
    assert.match(help.stdout, new RegExp(`\\b${word}\\b`));
  }
});

test('a reader that goes away is no error', async () => {
  await using run = runOpsqueue(['serve', '--help']);
  run.child.stdout?.destroy();
  assert.deepEqual(await run.exit(), { code: 0, signal: null });
  assert.equal(run.output('stderr'), '');
});
