import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as limits from '../../src/model/limits.ts';
import { REQUESTS_WAITING_MAX } from '../../src/net/http/lane.ts';
import { CONSUMER_FEATURES, PRODUCER_FEATURES } from '../../src/protocol/features.ts';
import { ENDED_PAGE_MAX, KNOWN_PREFIXES_MAX } from '../../src/protocol/producer/requests.ts';
import { ENDPOINTS, type Endpoint } from '../../src/server/http/endpoints.ts';
import { runCommand } from '../support/command.ts';
import { goldenSessions, goldenText } from '../support/protocol/golden.ts';
import { TestServer } from '../support/queues/test-server.ts';

// docs/protocol.md says of each part of the protocol which test exercises it: that is true only as long as somebody looks.

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');
const [description = '', tables = ''] = read('docs/protocol.md').split('\n## Tests\n');

/** What is said to be exercised, by the title of the table. */
const exercised = new Map<string, { readonly what: string; readonly tests: string }[]>();
for (const section of tables.split('\n### ').slice(1)) {
  const rows = [...section.matchAll(/^\| (.+?) +\| (`.+) +\|$/gm)];
  exercised.set(
    section.split('\n')[0]!,
    rows.map(([, what = '', tests = '']) => ({ what, tests })),
  );
}

/** What stands in backquotes in the first column of a table, or the whole of it. */
function namesIn(title: string): Set<string> {
  const rows = exercised.get(title) ?? [];
  return new Set(
    rows.flatMap(({ what }) => [what, ...[...what.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)]),
  );
}

function assertAllIn(title: string, names: readonly string[], atLeast: number): void {
  assert.ok(names.length >= atLeast, `found only ${names}`);
  const there = namesIn(title);
  assert.deepEqual(
    names.filter((name) => !there.has(name)),
    [],
    `missing in the table "${title}"`,
  );
}

/** The names of a file's tests as they stand in it. */
function testNames(file: string): Set<string> {
  if (file.startsWith('protocol/replay-')) {
    const sessions = [...goldenSessions('http.json'), ...goldenSessions('websocket.json')];
    // Our clients repeat what the official ones did.
    const isOfClients = file !== 'protocol/replay-server.test.ts';
    const wanted = sessions.filter(({ client }) => !isOfClients || client.startsWith('official'));
    return new Set(wanted.map(({ name }) => name));
  }
  const code = read(`test/${file}`);
  const names = code.matchAll(/\btest\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)")/g);
  return new Set([...names].map(([, single, double]) => (single ?? double ?? '').replace(/\\(.)/g, '$1')));
}

test('every test that docs/protocol.md names exists', () => {
  let count = 0;
  const missing: string[] = [];
  for (const { what, tests } of [...exercised.values()].flat()) {
    const named = [...tests.matchAll(/`([^`]+)` "([^"]+)"/g)];
    assert.equal(named.map(([each]) => each).join('; '), tests.trim(), `the tests of ${what}`);
    for (const [, file = '', name = ''] of named) {
      count++;
      if (!existsSync(`${root}/test/${file}`) || !testNames(file).has(name)) missing.push(`${file}: ${name}`);
    }
  }
  assert.ok(count > 150, `found only ${count}`);
  assert.deepEqual(missing, []);
});

test('the table has every flag', async () => {
  const { stdout } = await runCommand(['serve', '--help']);
  const flags = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+) </gm)].map(([, flag]) => flag!);
  assertAllIn('Flags', flags, 17);
});

test('the table has every endpoint', () => {
  const endpoints = Object.values<Endpoint>(ENDPOINTS);
  assertAllIn(
    'Endpoints',
    endpoints.map(({ method, path }) => `${method} ${path.replace('{submission_id}', '{id}')}`),
    14,
  );
});

test('the table has every message, and every strategy', () => {
  const files = ['client-messages', 'server-messages', 'reserved'].map((file) => `protocol/consumer/${file}`);
  const names = [...files, 'model/strategy-shape'].flatMap((file) => [
    ...read(`src/${file}.ts`).matchAll(/'([A-Z][a-z]+[A-Za-z]*)'/g),
  ]);
  assertAllIn('Messages', [...new Set(names.map(([, name]) => name!))], 15);
});

test('the table has every metric', async () => {
  await using queue = await TestServer.start({
    logStats: { bytesWritten: 0, bytesPending: 0, linesLost: 0 },
  });
  const typesOf = (text: string) => [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
  const ours = typesOf((await queue.get('/metrics')).body.toString());
  const ofOriginal = typesOf(goldenText('metrics-sample.txt'));
  const names = goldenText('metrics-names.txt').split('\n').filter(Boolean);
  assertAllIn('Metrics', [...new Set([...names, ...ofOriginal, ...ours])], 30);
});

test('the table has every status and close code that the description names', () => {
  const statuses = [...description.matchAll(/^\| ([45]\d\d(?:, [45]\d\d)*) +\|/gm)];
  const closes = [...description.matchAll(/\b(1\d{3})\b(?! (?:chunks|reservations))/g)].map(
    ([, code]) => code!,
  );
  const codes = closes.filter((code) => /^100[2-9]$/.test(code));
  assertAllIn('Errors', [...new Set([...statuses.flatMap(([, text]) => text!.split(', ')), ...codes])], 15);
});

test('the table has every extension', () => {
  const features = [...Object.values(CONSUMER_FEATURES).flat(), ...PRODUCER_FEATURES.queue];
  assertAllIn('Extensions', [...new Set(features)], 12);
});

test('the description has each feature, and who announces it', () => {
  const [, consumers = '', producers = ''] =
    /\n### Consumers\n(.*?)\n### Producers\n(.*?)\n## /s.exec(description) ?? [];
  const { queue, client, otherClients } = CONSUMER_FEATURES;
  const who = (name: string): string => {
    const [isOfQueue, isOfClient] = [queue, client].map((names: readonly string[]) => names.includes(name));
    if (isOfQueue) return isOfClient ? 'both' : 'server';
    return isOfClient ? 'client' : 'other clients';
  };
  const names: string[] = [...new Set([...queue, ...client, ...otherClients])];
  const rows = [...consumers.matchAll(/^\| `([a-z_]+)` +\| ([a-z ]+?) +\|/gm)];
  assert.deepEqual(
    rows.map(([, name, announcer]) => `${name}: ${announcer}`),
    names.map((name) => `${name}: ${who(name)}`),
  );
  assert.ok(consumers.includes(`\`"features": ${JSON.stringify(queue).replaceAll(',', ', ')}\``));

  const described = [...producers.matchAll(/^\| `([a-z_]+)` +\|/gm)].map(([, name]) => name);
  assert.deepEqual(described.toSorted(), PRODUCER_FEATURES.queue.toSorted());
  assert.ok(producers.includes(`\`opsqueue-features: ${PRODUCER_FEATURES.queue.join(',')}\``));
});

test('the table has every header of ours, and what a status has beyond that of the original', () => {
  const files = globSync('src/{net,producer,server}/**/*.ts', { cwd: root });
  const headers = files.flatMap((file) => [...read(file).matchAll(/'(opsqueue-[a-z]+)'/g)]);
  const names = [...new Set(headers.map(([, name]) => name!))];
  assertAllIn('Extensions', [...names, '`chunk_size` and `otel_trace_carrier` of `Cancelled`'], 6);
  for (const name of names) assert.ok(description.includes(`\`${name}`), name);
});

test('the table of limits has each limit as it is', () => {
  const rows = new Map(
    [...(description.split('\n## Limits\n')[1] ?? '').matchAll(/^\| (.+?) +\| (.+?) +\| .+\|$/gm)].map(
      ([, what = '', limit = '']) => [what, limit],
    ),
  );
  const count = (value: number) => String(value).replace(/\B(?=(?:\d{3})+$)/g, ' ');
  const mebibytes = (bytes: number) => `${bytes / 1024 / 1024} MiB`;
  const minutes = (ms: number) => `${ms / 60_000} minute${ms > 60_000 ? 's' : ''}`;
  for (const [what, limit] of [
    ['connections at one address', `${count(limits.CONNECTIONS_MAX_DEFAULT)} (\`--max-connections\`)`],
    ['named queues in use at a time', count(limits.QUEUES_MAX)],
    ['HTTP requests of a connection ahead of their answers', count(REQUESTS_WAITING_MAX)],
    ['HTTP request body', `${mebibytes(limits.BODY_BYTES_MAX_DEFAULT)} (\`--max-body-bytes\`)`],
    [
      'all HTTP request bodies being read',
      `${mebibytes(limits.BODIES_BYTES_MAX_DEFAULT)} (\`--max-bodies-bytes\`)`,
    ],
    ['WebSocket message', `${mebibytes(limits.FRAME_BYTES_MAX_DEFAULT)} (\`--max-frame-bytes\`)`],
    ['time from the first byte of a message to its last', minutes(limits.MESSAGE_TIMEOUT_MS_DEFAULT)],
    ['time in which a peer reads nothing of its response', minutes(limits.ANSWER_STALL_MS_DEFAULT)],
    ['chunks of a submission', `2^${Math.log2(limits.CHUNKS_PER_SUBMISSION_MAX)}`],
    ['chunks of a `Direct` submission', count(limits.DIRECT_CHUNKS_MAX)],
    ['key of strategic metadata, of a strategy', `${limits.META_KEY_BYTES_MAX} bytes`],
    ['pairs of strategic metadata', count(limits.META_PAIRS_MAX)],
    ['depth of nested strategies', `${limits.STRATEGY_DEPTH_MAX} around the innermost`],
    [
      `different strategies of a connection within a ${minutes(limits.STRATEGIES_PERIOD_MS).replace('1 ', '')}`,
      count(limits.STRATEGIES_OF_CONNECTION_MAX),
    ],
    [
      'chunks in one response',
      `${count(limits.CHUNKS_PER_ANSWER_MAX)}, or ${mebibytes(limits.ANSWER_BYTES_MAX)}`,
    ],
    [
      'operations of a submission (chunks × chunk size)',
      `2^${Math.log2(limits.OPERATIONS_PER_SUBMISSION_MAX)}`,
    ],
    ['prefixes in one request for known ones', count(KNOWN_PREFIXES_MAX)],
    ['ids in one listing of ended submissions', count(ENDED_PAGE_MAX)],
  ] as const) {
    assert.equal(rows.get(what), limit, what);
  }
});
