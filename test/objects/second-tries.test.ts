import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { ObjectStoreOptions } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { bytes, rejectsWith } from '../conformance/object-store.ts';
import { listening } from '../support/fakes/fake-server.ts';
import { type Reply, type SeenRequest, scriptedHttp } from '../support/fakes/scripted-http.ts';
import { TLS_CERTIFICATE, TLS_KEY } from '../support/network/tls-certificate.ts';

const folder = mkdtempSync(join(tmpdir(), 'opsqueue-second-tries-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function moduleOf(name: string, text: string): string {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(path, text);
  return path;
}

/** A module whose login is `login-1` the first time, `login-2` the second, ...; `as` says what becomes of it. */
const counting = (name: string, as: string) =>
  moduleOf(name, `let n = 0; const next = () => 'login-' + ++n; export default () => ${as};`);

const MINUTE_MS = 60_000;

/** The refusal of S3, with a status and a code. */
const refusal = (status: number, code: string, more = '', headers: Record<string, string> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/xml', ...headers },
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>why</Message>${more}</Error>`,
});
const OK: Reply = { status: 200, body: '', headers: { etag: '"0"' } };

/** What an S3 that answers so sees of `count` uploads side by side, one after another if `count` is 1. */
async function uploads(
  reply: (request: SeenRequest) => Reply,
  { count = 1, options = {} }: { readonly count?: number; readonly options?: ObjectStoreOptions } = {},
) {
  await using server = await scriptedHttp(reply);
  const store = await openObjectStore('s3://bucket/base', {
    aws_endpoint: `http://${server.url}`,
    allow_http: true,
    max_retries: 0,
    ...('credentials_module' in options ? {} : { aws_access_key_id: 'a', aws_secret_access_key: 'b' }),
    ...options,
  });
  try {
    const puts = Array.from({ length: count }, (_, index) => store.put(`p/${index}-in.bin`, bytes(10)));
    const results = await Promise.allSettled(puts);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    await store.put('p/last-in.bin', bytes(10));
  } finally {
    await store.close();
  }
  return server.seen;
}

/** The time at which a request was signed. */
function signedMs({ headers }: SeenRequest): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(headers['x-amz-date'])) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

const regionOf = ({ headers }: SeenRequest) =>
  /Credential=[^/]+\/\d+\/([^/]+)\/s3/.exec(headers.authorization ?? '')?.[1];

describe('what S3 says in a first refusal is heeded in a second try:', () => {
  const serverMs = () => Date.now() + 16 * MINUTE_MS;
  const dated = () => ({ date: new Date(serverMs()).toUTCString() });

  for (const [status, code] of [
    [403, 'RequestTimeTooSkewed'],
    [403, 'RequestExpired'],
    [403, 'SignatureDoesNotMatch'],
  ] as const) {
    test(`another clock, ${code}`, async () => {
      const seen = await uploads(
        (request) =>
          Math.abs(signedMs(request) - serverMs()) < 15 * MINUTE_MS
            ? { ...(OK as object), status: 200, headers: dated() }
            : refusal(status, code, '', dated()),
        { count: 8 },
      );
      // Each of the eight may have been on its way already when the first was refused; the last one knows.
      assert.equal(seen.length, 8 + 8 + 1);
    });
  }

  test('and said to the user if it does not help', async () => {
    const hopeless = uploads(() => refusal(403, 'RequestTimeTooSkewed', '', dated()));
    const error = await rejectsWith('OBJECT_DENIED', hopeless, 'p/0-in.bin');
    assert.match(error.message, /the clock of this machine is 16 minutes behind the server's/);
  });

  for (const [status, code, more, headers] of [
    [301, 'PermanentRedirect', '', { 'x-amz-bucket-region': 'eu-west-3' }],
    [307, 'TemporaryRedirect', '', { 'x-amz-bucket-region': 'eu-west-3' }],
    [400, 'AuthorizationHeaderMalformed', '<Region>eu-west-3</Region>', {}],
  ] as const) {
    test(`another region, ${code}`, async () => {
      const seen = await uploads((request) =>
        regionOf(request) === 'eu-west-3' ? OK : refusal(status, code, more, headers),
      );
      assert.deepEqual(seen.map(regionOf), ['us-east-1', 'eu-west-3', 'eu-west-3']);
    });
  }

  test('a region that is the same or none is the end of it', async () => {
    for (const region of ['us-east-1', '', 'x/y']) {
      let requests = 0;
      const reply = () => {
        requests++;
        return refusal(301, 'PermanentRedirect', '', { 'x-amz-bucket-region': region });
      };
      await rejectsWith('OBJECT_FAILED', uploads(reply), 'p/0-in.bin');
      assert.equal(requests, 1);
    }
  });

  for (const code of ['ExpiredToken', 'ExpiredTokenException']) {
    test(`an expired login, ${code}, is fetched once for all calls`, async () => {
      const credentials_module = counting(
        `s3-${code}`,
        "async () => ({ accessKeyId: next(), secretAccessKey: 's', sessionToken: 't' })",
      );
      const seen = await uploads(
        ({ headers }) => (/Credential=login-1\//.test(headers.authorization ?? '') ? refusal(400, code) : OK),
        { count: 8, options: { credentials_module } },
      );
      assert.equal(seen.length, 8 + 8 + 1);
      assert.match(seen.at(-1)?.headers.authorization ?? '', /Credential=login-2\//);
    });
  }
});

test('a token that an HTTP server refuses is asked for once more', async () => {
  const seen: (string | undefined)[] = [];
  await using server = await scriptedHttp(({ headers }) => {
    seen.push(headers.authorization);
    return { status: headers.authorization === 'login-1' ? 401 : 201 };
  });
  const credentials_module = counting('http', 'next');
  const store = await openObjectStore(`http://${server.url}/b`, { allow_http: true, credentials_module });
  await store.put('p/0-in.bin', bytes(10));
  assert.deepEqual(seen, ['login-1', 'login-2']);
  await store.close();
});

test('a fixed login that is refused is not tried again', async () => {
  let requests = 0;
  await using front = await scriptedHttp(() => {
    requests++;
    return { status: 401 };
  });
  const store = await openObjectStore(`http://me:wrong@${front.url}/b`, { allow_http: true });
  await rejectsWith('OBJECT_DENIED', store.put('p/0-in.bin', bytes(10)), 'p/0-in.bin');
  assert.equal(requests, 1);
  await store.close();
});

describe('Azure', () => {
  test('a token that is refused is fetched anew, once for all calls', async () => {
    const seen: string[] = [];
    const server = https.createServer({ cert: TLS_CERTIFICATE, key: TLS_KEY }, (request, response) => {
      seen.push(request.headers.authorization ?? '');
      request.resume().on('end', () => {
        response.writeHead(request.headers.authorization === 'Bearer login-1' ? 401 : 201).end();
      });
    });
    const { origin, stop } = await listening(server);
    const credentials_module = counting(
      'az',
      '({ getToken: async () => ({ token: next(), expiresOnTimestamp: Date.now() + 3_600_000 }) })',
    );
    const store = await openObjectStore('az://cont', {
      account_name: 'acct',
      azure_endpoint: `${origin.replace('http:', 'https:')}/acct`,
      allow_invalid_certificates: true,
      max_retries: 0,
      credentials_module,
    });
    await store.put('p/0-in.bin', bytes(10));
    assert.deepEqual(seen, ['Bearer login-1', 'Bearer login-2']);
    await Promise.all([1, 2, 3].map((index) => store.put(`p/${index}-in.bin`, bytes(10))));
    assert.deepEqual(seen.slice(2), ['Bearer login-2', 'Bearer login-2', 'Bearer login-2']);
    await store.close();
    await stop();
  });

  test('a refusal names the clock if it is far from the server', async () => {
    const date = new Date(Date.now() - 17 * MINUTE_MS).toUTCString();
    await using server = await scriptedHttp(() => ({ status: 403, headers: { date } }));
    const store = await openObjectStore('az://cont', {
      account_name: 'acct',
      account_key: 'a2V5',
      azure_endpoint: `http://${server.url}/acct`,
      allow_http: true,
    });
    const error = await rejectsWith('OBJECT_DENIED', store.put('p/0-in.bin', bytes(10)), 'p/0-in.bin');
    assert.match(error.message, /the clock of this machine is 17 minutes ahead of the server's/);
    await store.close();
  });
});
