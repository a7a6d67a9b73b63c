import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ProducerClient } from '../../src/producer/index.ts';
import { runCommand } from '../support/command.ts';
import { runOpsqueue, startQueue, type TestProcess } from '../support/processes.ts';

let queue: TestProcess;
let url: string;
let producer: ProducerClient;

before(async () => {
  const started = await startQueue(['--database-filename', 'file::memory:']);
  queue = started.queue;
  url = `127.0.0.1:${started.port}`;
  producer = new ProducerClient(url, null);
});

after(async () => {
  await producer.close();
  await queue[Symbol.asyncDispose]();
});

const ask = (...args: readonly string[]) => runCommand([...args, '--url', url]);

const insert = (companyId: number, chunks = 3) =>
  producer.insertSubmission(
    Array.from({ length: chunks }, (_, i) => i),
    { in: 'queue', chunkSize: 1, strategicMetadata: { company_id: companyId } },
  );

test('status tells people and programs about a submission', async () => {
  const id = await insert(1);
  const { code, stdout } = await ask('status', String(id));
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`^submission ${id}: in progress, 0 of 3 chunks done \\(0 %\\)\n`));
  assert.match(stdout, /^ {2}strategic metadata {2}company_id=1$/m);

  const json = JSON.parse((await ask('status', String(id), '--json')).stdout) as Record<string, unknown>;
  assert.equal(json.id, String(id));
  assert.equal(json.state, 'in_progress');
  assert.equal(json.chunks_total, 3);
  assert.equal(json.chunks_done, 0);
  assert.deepEqual(json.strategic_metadata, { company_id: '1' });
});

test('the metadata of a submission is readable in JSON, also where it is no text', async () => {
  for (const [metadata, base64, text] of [
    [new TextEncoder().encode('{"by":"Ännchen"}'), 'eyJieSI6IsOEbm5jaGVuIn0=', '{"by":"Ännchen"}'],
    [Uint8Array.of(0xff, 0), '/wA=', null],
    [undefined, null, null],
  ] as const) {
    const id = await producer.insertSubmission([1], { in: 'queue', chunkSize: 1, metadata });
    const json = JSON.parse((await ask('status', String(id), '--json')).stdout) as Record<string, unknown>;
    assert.deepEqual([json.metadata, json.metadata_text], [base64, text]);
    await producer.submission(id).cancel();
  }
});

test('an unknown submission is one line and status 1', async () => {
  for (const command of ['status', 'watch', 'cancel']) {
    const { code, stdout, stderr } = await ask(command, '12345');
    assert.equal(code, 1, command);
    assert.equal(stdout, '');
    assert.match(stderr, /^opsqueue: the queue [^\n]*does not know submission 12345[^\n]*\n$/);
  }
});

test('cancel ends a submission, once', async () => {
  const id = await insert(2);
  assert.deepEqual(await ask('cancel', String(id)), { code: 0, stdout: `cancelled ${id}\n`, stderr: '' });
  const again = await ask('cancel', String(id));
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^opsqueue: .*cancelled[^\n]*\n$/);
});

test('count and lookup find what is in progress', async () => {
  const ids = [await insert(77), await insert(77)];
  const { stdout } = await ask('count');
  assert.ok(Number(stdout) >= 2);
  assert.equal(
    (await ask('lookup', '--metadata', 'company_id=77')).stdout,
    ids.map((id) => `${id}\n`).join(''),
  );
  assert.equal(
    (await ask('lookup', '--metadata', 'company_id=77', '--json')).stdout,
    `${JSON.stringify(ids.map(String))}\n`,
  );
  const missing = await ask('lookup', '--prefix', 'no-such-prefix');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no-such-prefix/);
});

test('lookup finds what has ended, by how it ended', async () => {
  const ids = [await insert(78), await insert(78)];
  for (const id of ids) await producer.submission(id).cancel();
  const newestFirst = ids.toReversed().map((id) => `${id}\n`);
  assert.ok((await ask('lookup', '--state', 'cancelled')).stdout.startsWith(newestFirst.join('')));
  assert.equal((await ask('lookup', '--state', 'cancelled', '--limit', '1')).stdout, newestFirst[0]);
  assert.equal((await ask('lookup', '--state', 'failed')).stdout, '');
});

test('watch follows a submission to its end', async () => {
  const id = await insert(3);
  await using run = runOpsqueue(['watch', String(id), '--url', url]);
  await run.line(/^0 of 3 chunks/);
  await producer.submission(id).cancel();
  const { code } = await run.exit();
  assert.equal(code, 1);
  assert.match(run.output('stdout'), /cancelled/);
});

test('version asks the queue', async () => {
  assert.match((await ask('version')).stdout, /^v\d+\.\d+\.\d+\n$/);
});

test('wrong use is one line that names it, and status 2', async () => {
  for (const [args, names] of [
    [['status', 'abc'], /abc/],
    [['status'], /id/],
    [['status', '1', '2'], /status/],
    [['lookup', '--metadata', 'company_id'], /company_id/],
    [['lookup', '--metadata', 'a=9223372036854775808'], /9223372036854775808/],
    [['lookup', '--prefix', 'p', '--metadata', 'a=1'], /--prefix.*--metadata/],
    [['lookup', '--state', 'broken'], /--state.*broken.*failed/],
    [['lookup', '--state', 'failed', '--prefix', 'p'], /--state.*--prefix/],
    [['lookup', '--state', 'failed', '--limit', '0'], /--limit.*1/],
  ] as const) {
    const { code, stderr } = await ask(...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^opsqueue: [^\n]+\n$/);
    assert.match(stderr, names);
  }
  const { code, stderr } = await runCommand(['count', '--url', 'ftp://x']);
  assert.equal(code, 2);
  assert.match(stderr, /^opsqueue: [^\n]*ftp[^\n]*\n$/);
});

test('a queue that is not there is one line that names it, and status 1', async () => {
  const { port, queue: gone } = await startQueue(['--database-filename', 'file::memory:']);
  await gone.kill('SIGTERM');
  const { code, stderr } = await runCommand(['count', '--url', `127.0.0.1:${port}`]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`^opsqueue: [^\n]*127\\.0\\.0\\.1:${port}[^\n]*\n$`));
});
