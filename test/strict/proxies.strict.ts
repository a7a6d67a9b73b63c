/**
 * The proxies of docs/deployment.md, word for word but for ports and paths, in front of a real queue: a run of stored and
 * one of direct chunks, over TLS. Needs `nginx` and `haproxy` (Debian's packages of these names) and `openssl`.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeBlocks, projectFolder } from '../support/document-code.ts';
import { freePort } from '../support/network/free-port.ts';
import { runNode, startQueue, TestProcess } from '../support/processes.ts';
import { isInstalled } from './servers.ts';

/** What a proxy is told in the document, and how it is started here. */
interface Proxy {
  readonly command: string;
  /** The replacements that make the document's text fit here. */
  fit(text: string, place: Place): string;
  /** The document's text with what it says about certificates of clients. */
  strict(text: string): string;
  args(config: string, folder: string): readonly string[];
}

interface Place {
  readonly folder: string;
  readonly port: number;
  readonly queuePort: number;
}

const PROXIES: readonly Proxy[] = [
  {
    command: 'nginx',
    fit: (text, { folder, port, queuePort }) =>
      [
        `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr; events {}`,
        `http { access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;`,
        `fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;`,
        text
          .replace('listen 443', `listen 127.0.0.1:${port}`)
          .replaceAll('/etc/nginx/', `${folder}/`)
          .replace('127.0.0.1:3999', `127.0.0.1:${queuePort}`),
        '}',
      ].join('\n'),
    strict: (text) =>
      text.replace(
        /(?=\s+ssl_certificate_key)/,
        '\n  ssl_client_certificate /etc/nginx/clients.crt;\n  ssl_verify_client on;',
      ),
    args: (config, folder) => ['-c', config, '-p', folder],
  },
  {
    command: 'haproxy',
    fit: (text, { folder, port, queuePort }) =>
      text
        .replace('bind :443', `bind 127.0.0.1:${port}`)
        .replaceAll('/etc/haproxy/', `${folder}/`)
        .replace('127.0.0.1:3999', `127.0.0.1:${queuePort}`),
    strict: (text) => text.replace(/bind .*/, '$& ca-file /etc/haproxy/clients.crt verify required'),
    args: (config) => ['-f', config, '-db'],
  },
];

const JOB = `
import { ConsumerClient } from 'opsqueue/consumer';
import { ProducerClient } from 'opsqueue/producer';
import { readFileSync } from 'node:fs';
const [url, ca, cert, key] = process.argv.slice(2);
const read = (path) => (path === undefined ? undefined : readFileSync(path));
const options = { ca: read(ca), cert: read(cert), key: read(key) };
const consumer = new ConsumerClient(url, 'memory:///proxy', options);
const working = consumer.runEachOp((text) => text.length);
const producer = new ProducerClient(url, 'memory:///proxy', options);
const words = Array.from({ length: 100_000 }, (_, i) => 'word number ' + i);
let sum = 0;
for await (const length of producer.runSubmission(words, { chunkSize: 1_000 })) sum += length;
for await (const length of producer.runSubmission(words, { in: 'queue', chunkSize: 1_000 })) sum += length;
console.log('the sum is ' + sum);
await producer.close();
await consumer.stop();
await working;
`;

/** A certificate for `localhost` that stands for itself. */
async function makeCertificate(folder: string): Promise<void> {
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const files = ['-keyout', join(folder, 'queue.key'), '-out', join(folder, 'queue.crt')];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, ...files],
    {
      stdio: 'ignore',
    },
  );
  const both = ['queue.crt', 'queue.key'].map((name) => readFileSync(join(folder, name), 'utf8'));
  await writeFile(join(folder, 'queue.pem'), both.join(''));
  // It signs itself, so it is the authority of a client that shows it.
  await writeFile(join(folder, 'clients.crt'), both[0] ?? '');
}

/** The new text, which must be another one. */
function changed(before: string, text: string): string {
  assert.notEqual(text, before);
  return text;
}

/** The job of above through a proxy with this configuration; the clients get these files. */
async function runsThrough(
  proxy: Proxy,
  change: (text: string) => string,
  client: { readonly trusted?: string; readonly files?: readonly string[] },
): Promise<void> {
  const block = (await codeBlocks('docs/deployment.md')).find(({ language }) => language === proxy.command);
  assert.ok(block, `docs/deployment.md has no block for ${proxy.command}`);
  await using temporary = await projectFolder();
  const folder = temporary.path;
  await makeCertificate(folder);
  const { queue, port: queuePort } = await startQueue(['--database-filename', join(folder, 'queue.db')]);
  await using _ = queue;
  const port = await freePort();
  const config = join(folder, `${proxy.command}.conf`);
  await writeFile(config, proxy.fit(change(block.code), { folder, port, queuePort }));
  await using running = new TestProcess(proxy.command, proxy.args(config, folder));
  await writeFile(join(folder, 'job.mjs'), JOB);
  // The clients wait for the proxy to listen, as they wait for a queue.
  const { trusted, files = [] } = client;
  const env = { NODE_EXTRA_CA_CERTS: trusted === undefined ? '' : join(folder, trusted) };
  const args = files.map((name) => join(folder, name));
  await using job = runNode([join(folder, 'job.mjs'), `https://localhost:${port}`, ...args], { env });
  assert.deepEqual(
    await job.exit(),
    { code: 0, signal: null },
    job.output('stderr') + running.output('stderr'),
  );
  assert.equal(job.output('stdout'), 'the sum is 3377780\n');
}

for (const proxy of PROXIES) {
  const { command } = proxy;
  const skip = isInstalled(command) ? false : `no ${command}: apt-get install ${command}`;
  test(`a job runs through ${command} as docs/deployment.md sets it up`, { skip }, () =>
    runsThrough(proxy, (text) => text, { trusted: 'queue.crt' }),
  );
  test(`and where ${command} asks for certificates of clients`, { skip }, () =>
    runsThrough(proxy, (text) => changed(text, proxy.strict(text)), {
      files: ['queue.crt', 'queue.crt', 'queue.key'],
    }),
  );
}
