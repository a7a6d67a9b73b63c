import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import type { ObjectStoreOptions } from '../../src/objects/object-store.ts';
import { openObjectStore, type StoreWait } from '../../src/objects/open.ts';
import { INSTALL, orNotInstalledFor } from '../../src/objects/remote/load.ts';
import { bytes, rejectsWith } from '../conformance/object-store.ts';
import { startFakeDav } from '../support/fakes/fake-dav.ts';
import { startFakeGcs } from '../support/fakes/fake-gcs.ts';
import { listening, type RunningFake } from '../support/fakes/fake-server.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';

const folder = mkdtempSync(join(tmpdir(), 'opsqueue-logins-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A module of a user, with his credentials. */
function moduleOf(name: string, text: string): string {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(path, text);
  return path;
}

describe('logins', () => {
  /** Answers 403 to everything, and remembers what it was asked. */
  let asked: { url: string; headers: IncomingHttpHeaders }[] = [];
  let server: RunningFake;
  before(async () => {
    server = await listening(
      createServer((request, response) => {
        asked.push({ url: request.url ?? '', headers: request.headers });
        request.resume();
        response.writeHead(403).end();
      }),
    );
  });
  after(() => server.stop());

  /** What a store sends with these options. */
  const sent = async (url: string, options: ObjectStoreOptions) => {
    asked = [];
    const store = await openObjectStore(url, { allow_http: true, ...options });
    try {
      await rejectsWith('OBJECT_DENIED', store.put('p/0-in.bin', bytes(10)), 'p/0-in.bin');
    } finally {
      await store.close();
    }
    const first = asked[0];
    assert.ok(first !== undefined);
    return first;
  };
  const s3 = { aws_endpoint: '', aws_region: 'eu-north-1' };
  const place = () => ({ ...s3, aws_endpoint: server.origin });

  test('s3: signs with the keys of the options, for the region', async () => {
    const keys = { aws_access_key_id: 'AKID', aws_secret_access_key: 'SECRET', aws_session_token: 'TOKEN' };
    const { url, headers } = await sent('s3://bkt/base', { ...place(), ...keys });
    assert.match(url, /^\/bkt\/base\/p\/0-in\.bin(\?|$)/);
    assert.match(headers.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-north-1\/s3\//);
    assert.equal(headers['x-amz-security-token'], 'TOKEN');
    assert.match(String(headers['x-amz-checksum-crc32']), /^[A-Za-z0-9+/]{6}==$/);
  });

  test('s3: signs nothing where the store is public', async () => {
    const { headers } = await sent('s3://bkt', { ...place(), aws_skip_signature: true });
    assert.equal(headers.authorization, undefined);
  });

  test('s3: takes the credentials of a module of the user, and other extras', async () => {
    const credentials_module = moduleOf(
      's3',
      "export default () => async () => ({ accessKeyId: 'MODULE', secretAccessKey: 's' })",
    );
    const extras = {
      credentials_module,
      aws_request_checksum_calculation: 'when_required',
      aws_unsigned_payload: true,
      aws_server_side_encryption: 'aws:kms',
      aws_sse_kms_key_id: 'the-key',
    };
    const { headers } = await sent('s3://bkt', { ...place(), ...extras });
    assert.match(headers.authorization ?? '', /Credential=MODULE\//);
    assert.equal(headers['x-amz-checksum-crc32'], undefined);
    assert.equal(headers['x-amz-content-sha256'], 'UNSIGNED-PAYLOAD');
    assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
    assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], 'the-key');
  });

  test('az: signs with the account key, or sends the token or the SAS', async () => {
    const account = { azure_storage_account_name: 'acct', azure_endpoint: `${server.origin}/acct` };
    const key = await sent('az://cont/base', { ...account, azure_storage_account_key: 'a2V5' });
    assert.match(key.headers.authorization ?? '', /^SharedKey acct:/);
    assert.equal(key.url, '/acct/cont/base/p/0-in.bin');
    assert.ok(key.headers['content-md5'] !== undefined);
    const sas = await sent('az://cont/base', { ...account, sas_token: '?sv=1&sig=abc' });
    assert.match(sas.url, /\?sv=1&sig=abc$/);
    assert.equal(sas.headers.authorization, undefined);
    const anonymous = await sent('az://cont/base', { ...account, skip_signature: true });
    assert.equal(anonymous.headers.authorization, undefined);
  });

  test('az: makes its connections as it is told', async () => {
    const account = {
      azure_storage_account_name: 'acct',
      azure_endpoint: 'http://acct.invalid/acct',
      account_key: 'a2V5',
    };
    const { url, headers } = await sent('az://cont', {
      ...account,
      proxy_url: server.origin,
      connect_timeout: '3s',
    });
    assert.equal(url, 'http://acct.invalid/acct/cont/p/0-in.bin');
    assert.equal(headers.host, 'acct.invalid');
  });

  test('s3, gs and http go through a proxy', async () => {
    const proxy_url = server.origin;
    const keys = { aws_access_key_id: 'x', aws_secret_access_key: 'x' };
    const s3 = await sent('s3://bkt', {
      ...keys,
      aws_endpoint: 'http://s3.invalid',
      aws_region: 'eu',
      proxy_url,
    });
    assert.match(s3.url, /^http:\/\/s3\.invalid\/bkt\/p\/0-in\.bin/);
    for (const [url, options] of [
      ['gs://bkt', { google_endpoint: 'http://gs.invalid', skip_signature: true }],
      ['http://dav.invalid/data', {}],
    ] as const) {
      const asked = await sent(url, { ...options, proxy_url });
      assert.match(asked.url, /^(http:\/\/)?(gs|dav)\.invalid/);
    }
  });

  test('az: takes the emulator at its usual address', async () => {
    await assert.doesNotReject(openObjectStore('az://cont', { azure_storage_use_emulator: true }));
  });

  test('gs: renews a login that was refused, and tells a login that fails', async () => {
    let token = 'first';
    const gcs = await startFakeGcs({ token: () => token });
    const file = join(folder, 'token.txt');
    writeFileSync(file, 'first');
    const credentials_module = moduleOf(
      'gs',
      `import { readFileSync } from 'node:fs'; export default () => async () => readFileSync(${JSON.stringify(file)}, 'utf8')`,
    );
    const store = await openObjectStore('gs://bkt', {
      google_endpoint: gcs.origin,
      allow_http: true,
      credentials_module,
    });
    await store.put('p/0-in.bin', bytes(10));
    token = 'second';
    await rejectsWith('OBJECT_DENIED', store.get('p/0-in.bin'));
    writeFileSync(file, 'second');
    assert.equal((await store.get('p/0-in.bin')).length, 10);
    rmSync(file);
    const error = await rejectsWith('OBJECT_DENIED', store.get('p/0-in.bin'));
    assert.match(error.message, /login: ENOENT/);
    await store.close();
    await gcs.stop();
  });

  /** A module for any scheme; whoever logs in runs this text first. */
  const loginOf = (name: string, text: string) =>
    moduleOf(
      name,
      `const login = async () => { ${text}; return 'Bearer x'; };
       const s3 = async () => { await login(); return { accessKeyId: 'a', secretAccessKey: 'b' }; };
       const az = { getToken: login };
       export default () => ${name.startsWith('s3') ? 's3' : name.startsWith('az') ? 'az' : 'login'};`,
    );
  const failing = async (url: string, name: string, thrown: string, code: string, tries: number) => {
    const credentials_module = loginOf(name, `throw Object.assign(new Error('no login now'), ${thrown})`);
    const waits: StoreWait[] = [];
    const store = await openObjectStore(
      url,
      // Azure's SDK sends no token over plain http; nothing is sent here anyway.
      {
        credentials_module,
        account_name: 'a',
        aws_endpoint: 'https://127.0.0.1:9',
        max_retries: 1,
        retry_first_wait: '1ms',
      },
      { onWait: (wait) => waits.push(wait) },
    );
    const error = await rejectsWith(code, store.get('p/0-in.bin'), 'p/0-in.bin');
    assert.match(error.message, /login: .*no login now/);
    assert.equal(waits.length, tries - 1);
    await store.close();
  };

  test('that fail for a moment are tried again, those that are refused are not, whatever the scheme', async () => {
    const away = "{ code: 'ECONNREFUSED' }";
    const refused = '{ status: 403 }';
    await failing('https://127.0.0.1:9/x', 'http-away', away, 'OBJECT_UNREACHABLE', 2);
    await failing('https://127.0.0.1:9/x', 'http-refused', refused, 'OBJECT_DENIED', 1);
    await failing('gs://b', 'gs-away', away, 'OBJECT_UNREACHABLE', 2);
    await failing('gs://b', 'gs-refused', refused, 'OBJECT_DENIED', 1);
    const azure = (more: string) => `{ name: 'AuthenticationError', ${more} }`;
    await failing('az://c', 'az-away', azure('statusCode: 503'), 'OBJECT_UNREACHABLE', 2);
    await failing('az://c', 'az-refused', azure('statusCode: 401'), 'OBJECT_DENIED', 1);
    const several = (name: string) =>
      `{ name: 'AggregateAuthenticationError', errors: [Object.assign(new Error('x'), { name: '${name}', code: 'ETIMEDOUT' })] }`;
    await failing('az://c', 'az-one', several('AuthenticationError'), 'OBJECT_UNREACHABLE', 2);
    await failing('az://c', 'az-none', several('CredentialUnavailableError'), 'OBJECT_DENIED', 1);
    const aws = (more: string) => `{ name: 'CredentialsProviderError', ${more} }`;
    await failing('s3://b', 's3-away', aws('statusCode: 503'), 'OBJECT_UNREACHABLE', 2);
    await failing('s3://b', 's3-none', aws(''), 'OBJECT_DENIED', 1);
  });

  test('s3: a provider that has no credentials any more is asked again: there were some', async () => {
    await using server = await scriptedHttp(() => ({ status: 200, body: '' }));
    const path = join(folder, 'no-credentials');
    const credentials_module = moduleOf(
      's3-lapse',
      `import { existsSync } from 'node:fs';
       export default () => async () => {
         if (existsSync(${JSON.stringify(path)})) {
           throw Object.assign(new Error('nobody has any'), { name: 'CredentialsProviderError' });
         }
         return { accessKeyId: 'a', secretAccessKey: 'b', expiration: new Date(Date.now() + 1) };
       }`,
    );
    const options = { credentials_module, aws_endpoint: `http://${server.url}`, allow_http: true };
    const store = await openObjectStore(
      's3://b',
      { ...options, retry_first_wait: '1ms' },
      { onWait: () => rmSync(path, { force: true }) },
    );
    await store.put('p/0-in.bin', bytes(1));
    writeFileSync(path, '');
    await store.put('p/0-in.bin', bytes(1));
    await store.close();
  });

  test("gs: takes the place of an emulator from the key, as the original's users write it", async () => {
    const gcs = await startFakeGcs();
    const key = JSON.stringify({
      gcs_base_url: gcs.origin,
      disable_oauth: true,
      client_email: '',
      private_key: '',
    });
    const store = await openObjectStore('gs://bkt', { google_service_account_key: key, allow_http: true });
    await store.put('p/0-in.bin', bytes(10));
    assert.equal((await store.get('p/0-in.bin')).length, 10);
    await store.close();
    await gcs.stop();
  });

  test('http: logs in with the name and password of the URL', async () => {
    const dav = await startFakeDav({ basic: 'me:p@ss' });
    const url = dav.origin.replace('http://', 'http://me:p%40ss@');
    const store = await openObjectStore(`${url}/data`, { allow_http: true });
    await store.put('p/0-in.bin', bytes(10));
    assert.ok(!store.url.includes('ss@'));
    const other = await openObjectStore(`${dav.origin}/data`, { allow_http: true });
    await rejectsWith('OBJECT_DENIED', other.get('p/0-in.bin'));
    for (const opened of [store, other]) await opened.close();
    await dav.stop();
  });

  test('http: sends a token', async () => {
    const { headers } = await sent(`${server.origin}/data`, { bearer_token: 'abc' });
    assert.equal(headers.authorization, 'Bearer abc');
  });
});

describe('options that make no sense', () => {
  const refused = (url: string, options: ObjectStoreOptions, message: RegExp) =>
    assert.rejects(
      openObjectStore(url, options),
      (error) => error instanceof IncorrectUsageError && message.test(error.message),
    );

  test('are refused before anything is sent, by name', async () => {
    await refused('http://host/a', {}, /needs the object store option allow_http/);
    await refused('s3://b', { aws_endpoint: 'http://host' }, /aws_endpoint.*allow_http/);
    await refused('s3://b', { aws_endpoint: 'host:9000' }, /aws_endpoint: host:9000 is not an http/);
    await refused('s3://b', { aws_access_key_id: 'x' }, /aws_secret_access_key: one is missing/);
    await refused('s3://b', { request_checksum_calculation: 'x' }, /request_checksum_calculation/);
    await refused('gs://b', { google_endpoint: 'http://host' }, /google_endpoint.*allow_http/);
    await refused(
      'gs://b',
      { google_service_account_key: '{secret' },
      /google_service_account_key: not the JSON/,
    );
    await refused('az://c', {}, /needs the object store option azure_storage_account_name/);
    await refused('az://c', { azure_endpoint: 'http://h', account_name: 'a' }, /azure_endpoint.*allow_http/);
    await refused('s3://b', { timeout: '30' }, /option timeout/);
    await refused(
      's3://b',
      { credentials_module: join(folder, 'none.mjs') },
      /credentials_module: cannot import/,
    );
    await refused(
      's3://b',
      { credentials_module: moduleOf('no-function', 'export default 1') },
      /not a function/,
    );
    await refused(
      'gs://b',
      { credentials_module: moduleOf('no-login', 'export default () => 1') },
      /google-auth-library/,
    );
    await refused(
      'https://h/a',
      { credentials_module: moduleOf('no-header', 'export default () => 1') },
      /Authorization/,
    );
    await refused(
      'az://c',
      {
        account_name: 'a',
        credentials_module: pathToFileURL(moduleOf('no-token', 'export default () => 1')).href,
      },
      /TokenCredential/,
    );
  });

  test('are refused without their passwords', async () => {
    for (const [url, options] of [
      ['s3://b', { proxy_url: 'http://me:secret@host:99999' }],
      ['gs://b', { proxy_url: 'me:secret@host:3128' }],
      ['az://c', { account_name: 'a', proxy_url: 'socks://me:secret@host' }],
      ['https://h/x', { proxy_url: 'http://me:secret@host:99999' }],
      ['s3://b', { aws_endpoint: 'http://me:secret@host' }],
      ['s3://b', { aws_endpoint: 'ftp://me:secret@host' }],
      ['gs://b', { google_endpoint: 'me:secret@host:99999' }],
      ['az://c', { account_name: 'a', azure_endpoint: 'http://me:secret@host:99999' }],
    ] as const) {
      await assert.rejects(
        openObjectStore(url, options),
        (error) =>
          error instanceof IncorrectUsageError &&
          /option (proxy_url|(aws|google|azure)_endpoint): /.test(error.message) &&
          !inspect(error).includes('secret'),
        JSON.stringify(options),
      );
    }
  });

  test('what is to be installed for a scheme is what the documents say, all of it', () => {
    const documents = readFileSync(new URL('../../docs/object-stores.md', import.meta.url), 'utf8');
    for (const packages of Object.values(INSTALL)) {
      assert.ok(documents.includes(`\`npm install ${packages}\``), packages);
    }
  });

  test('a package that is not installed is named, with the command that installs it', async () => {
    const missing: string = 'opsqueue-test-not-installed';
    await assert.rejects(
      import(missing).catch(orNotInstalledFor('s3', '@aws-sdk/client-s3@3')),
      (error) =>
        error instanceof IncorrectUsageError &&
        /scheme s3: .*npm install @aws-sdk\/client-s3@3/.test(error.message),
    );
    await refused('az://c', { account_name: 'a' }, /npm install @azure\/identity@4/);
  });
});
