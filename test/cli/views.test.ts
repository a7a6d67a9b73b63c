import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJson } from '../../src/cli/text.ts';
import type { NodesAnswer } from '../../src/protocol/api/nodes.ts';
import type { SubmissionItem } from '../../src/protocol/api/submissions.ts';
import type { Why } from '../../src/protocol/api/why.ts';
import { runCommand } from '../support/command.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { assertDescribed } from '../support/protocol/openapi.ts';
import { TestServer } from '../support/queues/test-server.ts';

/** Two submissions, of which a chunk has failed on a consumer, and one more in another queue. */
async function atWork() {
  const server = await TestServer.start();
  const fields = { strategic_metadata: { customer: 42 }, retry_delay_ms: 60_000 };
  const id = String(await server.insert('fails', 4, fields));
  const other = String(await server.insert('waits', 1_234));
  const named = { chunk_contents: { SeeObjectStorage: { prefix: 'named', count: 1 } } };
  await server.post('/q/images/producer/submissions', JSON.stringify(named));
  const consumer = await server.consumer();
  consumer.reserve();
  consumer.fail(
    (await consumer.next('reserved')).chunks[0]!.chunk,
    'Error: customer 42 has no address\u001b[2J',
  );
  consumer.reserve();
  await consumer.next('reserved');
  const url = ['--url', `127.0.0.1:${server.port}`];
  return { server, id, other, url };
}

test('why says what is in the way, and its status tells whether work goes on', async () => {
  const { server, id, url } = await atWork();
  await using _server = server;
  const runs = await runCommand(['why', id, ...url]);
  assert.deepEqual([runs.code, runs.stderr], [0, '']);
  assert.match(runs.stdout, /^running: nothing keeps it from running: 1 chunk is in flight, 2 wait\n$/);
  const alone = await runCommand(['why', '--queue', 'images', '-v', ...url]);
  assert.equal(alone.code, 3);
  assert.match(
    alone.stdout,
    /^of queue images:\nyes server is up: .*\n(?:yes .*\n)*NO {2}consumers are there: 1 chunk waits and no consumer .*\nwhat to do: start consumers/,
  );
  const json = await runCommand(['why', '--queue', 'images', '--json', ...url]);
  const why = JSON.parse(json.stdout) as Why;
  assert.deepEqual([why.verdict, why.queue, json.code], ['no_consumers', 'images', 3]);
  const ofAll = await runCommand(['why', ...url]);
  assert.match(ofAll.stdout, /^of (?:the unnamed queue|queue images):\n\w+: /);
  const ofUnnamed = await runCommand(['why', '--queue', '-', ...url]);
  assert.match(ofUnnamed.stdout, /^of the unnamed queue:\nrunning: /);
  const unknown = await runCommand(['why', '1', ...url]);
  assert.deepEqual([unknown.code, unknown.stdout], [1, '']);
  assert.match(unknown.stderr, /^opsqueue: the queue does not know submission 1: /);
});

test('ls lists what matches, as a table, ids or JSON, however many pages that are', async () => {
  const { server, id, other, url } = await atWork();
  await using _server = server;
  const { stdout } = await runCommand(['ls', '--queue', '-', '--order', 'asc', ...url]);
  const [head, first, second] = stdout.split('\n');
  assert.match(head ?? '', /^ID +QUEUE +STATE +CHUNKS +DONE +WAITING +IN FLIGHT +RATE +LEFT +INSERTED/);
  assert.match(first ?? '', new RegExp(`^${id} +- +running, failing +4 +0% +2 +1 .*fails customer=42$`));
  assert.match(second ?? '', new RegExp(`^${other} +- +waiting +1,234 +0% +1,234 +0 .*waits$`));
  assert.equal((await runCommand(['ls', '--metadata', 'customer=42', '-q', ...url])).stdout, `${id}\n`);
  assert.equal((await runCommand(['ls', '--state', 'failing', '-q', ...url])).stdout, `${id}\n`);
  for (let i = 0; i < 250; i++) await server.insert(`many-${i}`, 1);
  const many = await runCommand(['ls', '--prefix', 'many-', '--limit', '230', '--json', ...url]);
  const { matched, items } = JSON.parse(many.stdout) as { matched: number; items: SubmissionItem[] };
  assert.deepEqual([matched, new Set(items.map((item) => item.id)).size], [250, 230]);
  // As the API answers, whatever page that would be.
  const headers = [['content-type', 'application/json']] as const;
  const described = { status: 200, headers, body: Buffer.from(many.stdout) };
  await assertDescribed('GET /api/v1/submissions', described);
  const some = await runCommand(['ls', '--prefix', 'many-', '--limit', '1', ...url]);
  assert.equal(some.stderr, 'opsqueue: 249 more: raise --limit, or narrow the filter\n');
  assert.equal((await runCommand(['ls', '--state', 'failed', '--sort', 'rate', ...url])).code, 2);
});

test('failures are listed in groups or each with its text, which cannot steer a terminal', async () => {
  const { server, id, url } = await atWork();
  await using _server = server;
  const groups = await runCommand(['failures', ...url]);
  assert.match(
    groups.stdout,
    /^FINGERPRINT +COUNT +SUBMISSIONS +CONSUMERS +LAST\n[0-9a-f]{12} +1 +1 +1 +\S+ +Error: customer # has no address\n$/,
  );
  const each = await runCommand(['failures', id, '--each', ...url]);
  assert.match(
    each.stdout,
    new RegExp(
      `submission ${id}, chunk 0: failed after .*\\n {4}Error: customer 42 has no address\\\\x1b\\[2J\\n$`,
    ),
  );
  assert.match((await runCommand(['failures', id, '--json', ...url])).stdout, /"matched":1,/);
  assert.equal((await runCommand(['failures', '1', ...url])).stdout.split('\n').length, 2);
});

test('JSON that is printed steers no terminal, and says the same', () => {
  const text = 'a\u001b[2J\u009b2J\u007f\u202e\u2066 é';
  assert.equal(toJson({ text }), '{"text":"a\\u001b[2J\\u009b2J\\u007f\\u202e\\u2066 é"}');
  assert.deepEqual(JSON.parse(toJson({ text })), { text });
});

test('a queue that knows no views is told from one that has nothing to tell', async () => {
  await using server = await scriptedHttp(({ path }) => ({
    status: path.endsWith('/version') ? 200 : 404,
    body: path.endsWith('/version') ? 'v0.40.1' : '',
  }));
  const { code, stderr } = await runCommand(['why', '--url', server.url]);
  assert.equal(code, 1);
  assert.match(stderr, /^opsqueue: this queue cannot tell what is going on [^\n]*\n$/);
});

test('a node that does not answer is named beside what the others have', async () => {
  const list = {
    as_of: '2030-01-01T00:00:00.000Z',
    age_ms: 0,
    nodes_missing: ['10.0.0.2:3999'],
    shards_missing: 3,
  };
  await using server = await scriptedHttp(({ path }) =>
    path.endsWith('/version')
      ? { status: 200, body: 'v0.1.0', headers: { 'opsqueue-features': 'views,queues' } }
      : { status: 200, body: JSON.stringify({ ...list, matched: 0, next: null, items: [] }) },
  );
  for (const command of ['ls', 'failures', 'queues']) {
    const { code, stdout, stderr } = await runCommand([command, '--json', '--url', server.url]);
    assert.equal(code, 0, stderr);
    assert.equal(
      stderr,
      'opsqueue: node 10.0.0.2:3999 does not answer: this is without its queues\n' +
        'opsqueue: 3 of 64 shards are open on no node: this is without their queues\n',
    );
    const asText = await runCommand([command, '--url', server.url]);
    assert.deepEqual([asText.code, asText.stderr], [0, stderr]);
    assert.deepEqual((JSON.parse(stdout) as typeof list).nodes_missing, list.nodes_missing);
  }
});

test('nodes are listed as a table, and as JSON', async () => {
  await using server = await TestServer.start();
  const url = ['--url', `127.0.0.1:${server.port}`];
  const { code, stdout, stderr } = await runCommand(['nodes', ...url]);
  assert.deepEqual([code, stderr], [0, '']);
  const [head, row, ...more] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/));
  assert.deepEqual(head, ['ADDRESS', 'STATE', 'SHARDS', 'READY', 'SINCE', 'ALIVE', 'VERSION', 'NODE']);
  assert.deepEqual([row!.slice(0, 4), more], [[`127.0.0.1:${server.port}`, 'active', '1', 'yes'], []]);
  const json = JSON.parse((await runCommand(['nodes', '--json', ...url])).stdout) as NodesAnswer;
  assert.deepEqual(
    json.items.map(({ node }) => node),
    [row!.at(-1)],
  );
});
