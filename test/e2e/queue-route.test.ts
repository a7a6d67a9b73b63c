/** How clients reach their queue: TLS with authorities and certificates of their own, and proxies of the environment. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ConsumerClient, type ConsumerClientOptions } from '../../src/consumer/index.ts';
import {
  ProducerClient,
  type ProducerClientOptions,
  QueueUnreachableError,
} from '../../src/producer/index.ts';
import { runCommand } from '../support/command.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { ConnectProxy } from '../support/network/connect-proxy.ts';
import { TLS_CERTIFICATE, TLS_KEY } from '../support/network/tls-certificate.ts';
import { TlsFront } from '../support/network/tls-front.ts';
import { realQueue } from '../support/queues/real-queue.ts';
import { eventually } from '../support/time/eventually.ts';

const PROGRAM = fileURLToPath(new URL('../support/programs/one-chunk.ts', import.meta.url));
const NO_PROXIES = {
  HTTP_PROXY: '',
  HTTPS_PROXY: '',
  NO_PROXY: '',
  http_proxy: '',
  https_proxy: '',
  no_proxy: '',
};

/** A submission of one chunk through both clients. */
async function passes(
  url: string,
  objectStore: string,
  options: ProducerClientOptions & ConsumerClientOptions,
): Promise<void> {
  await using consumer = new ConsumerClient(url, objectStore, options);
  const working = consumer.runEachOp((n: number) => n * 2);
  await using producer = new ProducerClient(url, objectStore, { retryForMs: 0, ...options });
  assert.deepEqual(await Array.fromAsync(producer.runSubmission([21], { chunkSize: 1 })), [42]);
  await consumer.stop();
  await working;
}

/** The same in a process of its own. */
async function runs(
  args: { readonly flags?: readonly string[]; readonly env?: Readonly<Record<string, string>> },
  url: string,
  objectStore: string,
  options: object = {},
): Promise<void> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...(args.flags ?? []), PROGRAM, url, objectStore, JSON.stringify(options)],
    { env: { ...process.env, ...NO_PROXIES, ...args.env }, timeout: 30_000 },
  );
  assert.equal(stdout, 'DONE\n');
}

test('both clients trust the authorities that they are given, as text, bytes or several', async () => {
  await using queue = await realQueue();
  await using front = await TlsFront.start(Number(queue.url.split(':')[1]));
  for (const ca of [TLS_CERTIFICATE, Buffer.from(TLS_CERTIFICATE), [TLS_CERTIFICATE, TLS_CERTIFICATE]]) {
    await passes(front.url, queue.objects.url, { ca });
  }
  await passes(front.url.replace('https', 'wss'), queue.objects.url, { ca: TLS_CERTIFICATE });
  assert.ok(front.connections >= 8, `${front.connections} connections`);
});

test('the commands that ask a queue trust the file of --ca', async () => {
  await using queue = await realQueue();
  await using front = await TlsFront.start(Number(queue.url.split(':')[1]));
  const file = join(queue.objects.folder, 'ca.pem');
  writeFileSync(file, TLS_CERTIFICATE);
  const run = (...args: readonly string[]) => runCommand([...args, '--url', front.url]);
  assert.deepEqual(await run('count', '--ca', file), { code: 0, stdout: '0\n', stderr: '' });
  const gc = ['gc', '--object-store', queue.objects.url, '--older-than', '7d'];
  const collected = await run(...gc, '--ca', file);
  assert.equal(collected.code, 0, collected.stderr);
  assert.match((await run('count')).stderr, /self-signed certificate.* option ca/);
  const missing = await run('count', '--ca', `${file}.old`);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /--ca.*ca\.pem\.old.*ENOENT/);
});

test('both clients show their certificate to a proxy that asks for one', async () => {
  await using queue = await realQueue();
  const strict = { ca: TLS_CERTIFICATE, requestCert: true, rejectUnauthorized: true };
  await using front = await TlsFront.start(Number(queue.url.split(':')[1]), strict);
  await passes(front.url, queue.objects.url, { ca: TLS_CERTIFICATE, cert: TLS_CERTIFICATE, key: TLS_KEY });

  const logger = recordingLogger();
  await using consumer = new ConsumerClient(front.url, queue.objects.url, { ca: TLS_CERTIFICATE, logger });
  const working = consumer.runEachOp(() => 1).catch(() => {});
  const isNamed = ({ fields }: { fields: object }) =>
    /certificate required.*cert and key/.test(JSON.stringify(fields));
  await eventually(() => logger.lines.some(isNamed));
  await consumer.close();
  await working;
  await using producer = new ProducerClient(front.url, null, { ca: TLS_CERTIFICATE, retryForMs: 0 });
  await assert.rejects(producer.insertSubmission([1], { in: 'queue', chunkSize: 1 }), (error: unknown) => {
    assert.ok(error instanceof QueueUnreachableError);
    assert.match(error.message, /nothing was sent: .*certificate required.*cert and key/);
    return true;
  });
});

test('what the program trusts by default, by a call or by a flag, its consumers trust', async () => {
  await using queue = await realQueue();
  await using front = await TlsFront.start(Number(queue.url.split(':')[1]));
  await runs({}, front.url, queue.objects.url, { trusted: TLS_CERTIFICATE });
  const file = join(queue.objects.folder, 'system.pem');
  writeFileSync(file, TLS_CERTIFICATE);
  const env = { SSL_CERT_FILE: file, SSL_CERT_DIR: '/nowhere' };
  await runs({ env, flags: ['--use-system-ca'] }, front.url, queue.objects.url);
});

test('proxies of the environment are asked where Node.js is told to heed them, WebSockets in a tunnel', async () => {
  await using queue = await realQueue();
  await using proxy = await ConnectProxy.start();
  const env = { HTTP_PROXY: `http://user:pass@${proxy.authority}` };
  await runs({ env: { ...env, NODE_USE_ENV_PROXY: '1' } }, queue.url, queue.objects.url);
  assert.ok(proxy.asked.includes(`CONNECT ${queue.url}`), proxy.asked.join());
  assert.ok(proxy.asked.includes(`POST http://${queue.url}/producer/submissions`), proxy.asked.join());
  assert.deepEqual(new Set(proxy.authorizations), new Set([`Basic ${btoa('user:pass')}`]));

  proxy.asked = [];
  await runs({ env, flags: ['--use-env-proxy'] }, queue.url, queue.objects.url);
  assert.ok(proxy.asked.includes(`CONNECT ${queue.url}`), proxy.asked.join());

  proxy.asked = [];
  await runs(
    { env: { ...env, NODE_USE_ENV_PROXY: '1', NO_PROXY: '127.0.0.1' } },
    queue.url,
    queue.objects.url,
  );
  assert.equal(proxy.asked.length, 0, proxy.asked.join());
});

test('with TLS all goes through a tunnel', async () => {
  await using queue = await realQueue();
  await using front = await TlsFront.start(Number(queue.url.split(':')[1]));
  await using proxy = await ConnectProxy.start();
  const env = { HTTPS_PROXY: `http://${proxy.authority}`, NODE_USE_ENV_PROXY: '1' };
  await runs({ env }, front.url, queue.objects.url, { ca: TLS_CERTIFICATE });
  assert.ok(proxy.asked.length >= 2, proxy.asked.join());
  for (const asked of proxy.asked) assert.equal(asked, `CONNECT ${front.url.slice('https://'.length)}`);
});

test('a proxy that refuses: at once where that stays so, and again where the queue may be down', async () => {
  await using queue = await realQueue();
  await using front = await TlsFront.start(Number(queue.url.split(':')[1]));
  await using proxy = await ConnectProxy.start();
  const restore = http.setGlobalProxyFromEnv({
    HTTP_PROXY: `http://${proxy.authority}`,
    HTTPS_PROXY: `http://${proxy.authority}`,
  });
  try {
    const options = { ca: TLS_CERTIFICATE, retryForMs: 60_000 };
    await using producer = new ProducerClient(front.url, null, options);
    proxy.refusal = 403;
    const text = /nothing was sent: Failed to establish tunnel.*403/;
    await assert.rejects(producer.countSubmissions(), (error: Error) => text.test(error.message));
    proxy.refusal = 503;
    const counting = producer.countSubmissions();
    const asked = proxy.asked.length;
    await eventually(() => proxy.asked.length > asked);
    proxy.refusal = null;
    assert.equal(await counting, 0);

    proxy.refusal = 403;
    const logger = recordingLogger();
    await using consumer = new ConsumerClient(queue.url, queue.objects.url, { logger });
    const working = consumer.runEachOp((n: number) => n + 1);
    const reason = new RegExp(`no connection to ${queue.url} through the proxy: HTTP status 403 Refused`);
    await eventually(() => logger.lines.some(({ fields }) => reason.test(JSON.stringify(fields))));
    proxy.refusal = null;
    assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission([1], { chunkSize: 1 })), [2]);
    await consumer.stop();
    await working;
  } finally {
    restore();
  }
});
