import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { TestServer } from '../support/queues/test-server.ts';

let queue: TestServer;
before(async () => {
  queue = await TestServer.start({ bodyBytesMax: 10_000 });
});
after(() => queue[Symbol.asyncDispose]());

const ROOT = '/producer/submissions';
const stored = (prefix: string, count: string, rest = '') =>
  `{"chunk_contents":{"SeeObjectStorage":{"prefix":${prefix},"count":${count}}}${rest}}`;

test('malformed JSON is 400, JSON of a wrong shape is 422, and both say where', async () => {
  const samples: [status: number, body: string | Uint8Array, says: RegExp][] = [
    [400, '', /ends/],
    [400, '{"chunk_contents":', /chunk_contents/],
    [400, '{"chunk_contents":nul}', /chunk_contents/],
    [400, '{"chunk_contents":{"Direct":{"contents":[]}}} x', /after/],
    [400, Uint8Array.of(0x7b, 0xff, 0x7d), /UTF-8/],
    [422, 'null', /object/],
    [422, '{}', /chunk_contents/],
    [422, '{"chunk_contents":"Direct"}', /chunk_contents/],
    [422, '{"chunk_contents":{"Nope":{}}}', /Nope/],
    [422, '{"chunk_contents":{"__proto__":{}}}', /__proto__/],
    [422, '{"chunk_contents":{"Direct":{"contents":[[256]]}}}', /contents.*256/],
    [422, '{"chunk_contents":{"Direct":{"contents":"abc"}}}', /contents/],
    [422, stored('"p"', '-1'), /count.*-1/],
    [422, stored('"p"', '1.0'), /count/],
    [422, stored('"p"', '4294967297'), /count.*4294967296/],
    [422, stored('"p"', '9223372036854775808'), /count/],
    [422, stored('null', '1'), /prefix/],
    [422, stored('"p"', '1', ',"chunk_size":0'), /chunk_size.*0/],
    [422, stored('"p"', '1', ',"chunk_size":-3'), /chunk_size.*-3/],
    [422, stored('"p"', '1', ',"chunk_size":"1"'), /chunk_size/],
    [422, stored('"p"', '1048576', ',"chunk_size":268435457'), /chunk_size.*268435457.*1048576/],
    [422, stored('"p"', '1', ',"metadata":"text"'), /metadata/],
    [422, stored('"p"', '1', ',"strategic_metadata":null'), /strategic_metadata/],
    [422, stored('"p"', '1', ',"strategic_metadata":{"a":1.5}'), /strategic_metadata\.a/],
    [422, stored('"p"', '1', ',"strategic_metadata":{"a":9223372036854775808}'), /strategic_metadata\.a/],
    [422, stored('"p"', '1', `,"strategic_metadata":{"${'k'.repeat(257)}":1}`), /256/],
    [422, stored('"p"', '1', ',"retry_delay_ms":-1'), /retry_delay_ms/],
    [422, stored('"p"', '1', ',"retry":{"factor":0}'), /retry\.factor/],
  ];
  for (const [status, body, says] of samples) {
    const answer = await queue.post(ROOT, body);
    const text = answer.body.toString();
    assert.equal(answer.status, status, `${body}: ${text}`);
    assert.match(text, says);
    assert.doesNotMatch(text, /\n\s+at /, 'no stack trace');
    assert.deepEqual(answer.headers[0], ['content-type', 'text/plain; charset=utf-8']);
  }
  assert.equal((await queue.get(`${ROOT}/count`)).body.toString(), '0', 'nothing of it was inserted');
});

test('a prefix that tries to leave the folder of the object store is refused', async () => {
  for (const prefix of [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    '/etc',
    'a\\\\b',
    'a b',
    '-x',
    'x'.repeat(201),
    'a\\u0000',
    '%2e%2e',
  ]) {
    const answer = await queue.post(ROOT, stored(`"${prefix}"`, '1'));
    assert.equal(answer.status, 422, prefix);
    assert.match(answer.body.toString(), /prefix/);
  }
});

test('look-ups and known prefixes refuse the wrong shape', async () => {
  for (const [path, body, status] of [
    ['lookup_ids_by_strategic_metadata', '{"a":', 400],
    ['lookup_ids_by_strategic_metadata', 'null', 422],
    ['lookup_ids_by_strategic_metadata', '[]', 422],
    ['lookup_ids_by_strategic_metadata', '{"a":"x"}', 422],
    ['lookup_ids_by_strategic_metadata', '{"a":-9223372036854775809}', 422],
    ['known', '{}', 422],
    ['known', '[1]', 422],
    ['known', '[', 400],
  ] as const) {
    assert.equal((await queue.post(`${ROOT}/${path}`, body)).status, status, `${path} ${body}`);
  }
});

test('another content type is 415', async () => {
  const body = '{"chunk_contents":{"Direct":{"contents":[null]}}}';
  for (const type of ['text/plain', 'application/jsonp', 'text/json', 'application/x-www-form-urlencoded']) {
    assert.equal((await queue.post(ROOT, body, { 'content-type': type })).status, 415, type);
  }
  const none = await queue.request(`POST ${ROOT}`, {}, body);
  assert.equal(none.status, 415);
  assert.match(none.body.toString(), /application\/json/);
});

test('a body above the limit is 413', async () => {
  const answer = await queue.post(
    ROOT,
    `{"chunk_contents":{"Direct":{"contents":[[${'1,'.repeat(6_000)}1]]}}}`,
  );
  assert.equal(answer.status, 413);
  assert.match(answer.body.toString(), /10000 bytes/);
});

test('a malformed id is 400', async () => {
  for (const id of [
    'abc',
    '-1',
    '1.5',
    '1%20',
    '%20',
    '9223372036854775808',
    '18446744073709551616',
    '1e3',
    '0x1',
    '9'.repeat(5_000),
  ]) {
    for (const line of [`GET ${ROOT}/${id}`, `POST ${ROOT}/cancel/${id}`, `GET ${ROOT}/${id}/chunks_done`]) {
      const answer = await queue.request(line);
      assert.equal(answer.status, 400, line.slice(0, 60));
      assert.match(answer.body.toString(), /^Invalid URL: /);
      assert.ok(answer.body.length < 200);
    }
  }
  for (const segment of ['%ff', '%', '%zz']) {
    assert.equal((await queue.get(`${ROOT}/lookup_id_by_prefix/${segment}`)).status, 400, segment);
  }
});

test('unknown paths and trailing slashes are 404 without a body', async () => {
  const paths = [
    '/nope',
    '/producer',
    '/producer/',
    `${ROOT}/`,
    `${ROOT}/count/`,
    '/ping/',
    '/consumer/',
    '/producer/ping',
  ];
  for (const path of [
    ...paths,
    `${ROOT}/lookup_id_by_prefix/`,
    `${ROOT}/lookup_id_by_prefix/a/b`,
    `${ROOT}/1/nope`,
    '//ping',
    '/PING',
  ]) {
    const answer = await queue.get(path);
    assert.deepEqual([answer.status, answer.body.length], [404, 0], path);
    assert.deepEqual(
      answer.headers.map(([name]) => name),
      ['content-length', 'date'],
    );
  }
});

test('an absolute target, as proxies send it, leads where its path does, and its host counts instead of the header', async () => {
  const foreignHeader = { host: 'evil.example' };
  for (const [line, status, headers] of [
    ['GET http://localhost:3999/ping', 200],
    ['GET HTTPS://127.0.0.1/ping', 200],
    [`GET http://localhost${ROOT}/count?x=1`, 200],
    ['GET http://localhost/ping', 200, foreignHeader],
    ['GET http://evil.example/ping', 403],
    ['GET http://localhost', 404],
    ['GET http:///ping', 404],
    ['GET http://localhost@evil.example/ping', 404],
    ['GET ftp://localhost/ping', 404],
    ['POST http://localhost/ping', 405],
    ['GET http://localhost/consumer', 400],
  ] as const) {
    const answer = await queue.request(line, headers);
    assert.equal(answer.status, status, line);
  }
});

test('a known path with another method is 405 and says which one it takes', async () => {
  for (const [line, allow] of [
    [`GET ${ROOT}`, 'POST'],
    [`DELETE ${ROOT}/1`, 'GET,HEAD'],
    [`POST ${ROOT}/count`, 'GET,HEAD'],
    [`GET ${ROOT}/cancel/1`, 'POST'],
    [`POST ${ROOT}/1`, 'GET,HEAD'],
    ['POST /ping', 'GET,HEAD'],
    [`GET ${ROOT}/lookup_ids_by_strategic_metadata`, 'POST'],
    ['POST /consumer', 'GET,HEAD'],
    [`OPTIONS ${ROOT}/count`, 'GET,HEAD'],
    [`OPTIONS ${ROOT}`, 'POST'],
    ['PUT /metrics', 'GET,HEAD'],
  ] as const) {
    const answer = await queue.request(line);
    assert.equal(answer.status, 405, line);
    assert.deepEqual(answer.headers.slice(0, 2), [
      ['allow', allow],
      ['content-length', '0'],
    ]);
  }
});

test("the consumers' path without a proper upgrade is 400", async () => {
  const upgrade = {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const { 'sec-websocket-key': _key, ...keyless } = upgrade;
  for (const headers of [
    {},
    { ...upgrade, connection: 'keep-alive' },
    { ...upgrade, 'sec-websocket-version': '12' },
    keyless,
  ]) {
    const answer = await queue.get('/consumer', headers);
    assert.equal(answer.status, 400, JSON.stringify(headers));
    assert.ok(answer.body.length > 0);
  }
  assert.equal((await queue.get('/nope', upgrade)).status, 404);
});

test("web pages of other sites, and names that are not this machine's, are refused", async () => {
  const upgrade = {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  for (const headers of [
    { origin: 'http://evil.example' },
    { host: 'evil.example' },
    { host: 'evil.example', origin: 'http://evil.example' },
  ]) {
    assert.equal((await queue.get(`${ROOT}/count`, headers)).status, 403);
    assert.equal((await queue.request(`POST ${ROOT}/cancel/1`, headers)).status, 403);
    assert.equal((await queue.get('/consumer', { ...upgrade, ...headers })).status, 403);
  }
  const metrics = String((await queue.get('/metrics')).body);
  for (const refused of [
    `method="GET",status="403",endpoint="${ROOT}/count"`,
    `method="POST",status="403",endpoint="${ROOT}/cancel/{submission_id}"`,
    'method="GET",status="403",endpoint="/consumer"',
  ]) {
    assert.ok(metrics.includes(`\naxum_http_requests_total{${refused}} `), refused);
  }
  const origin = `http://localhost:${queue.port}`;
  assert.equal((await queue.get('/ping', { host: `localhost:${queue.port}`, origin })).status, 200);
  const answer = await queue.get('/ping');
  assert.ok(!answer.headers.some(([name]) => name.startsWith('access-control-')));
});

test('two host headers are 400, for requests and for consumers', async () => {
  const upgrade =
    'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  for (const head of ['GET /ping HTTP/1.1\r\n', `GET /consumer HTTP/1.1\r\n${upgrade}`]) {
    for (const hosts of ['host: localhost\r\nHost: localhost', 'HOST: localhost\r\nhost: evil.example']) {
      const socket = await HttpSocket.open(queue.port);
      socket.write(`${head}${hosts}\r\n\r\n`);
      assert.equal((await socket.answer()).status, 400);
      socket.close();
    }
  }
});

test('after all of that the queue works', async () => {
  const id = await queue.insert('afterwards', 1);
  const consumer = await queue.consumer();
  const [reserved] = await consumer.reserved();
  assert.equal(reserved?.chunk.submissionId, id);
});
