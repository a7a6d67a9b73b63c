/**
 * Puts and gets per second, and processor time for each, through our object stores and through the bare client
 * below them, in front of the same server (a process of its own that does next to nothing). `file:` stands beside
 * node:fs. Turn by turn, each first as often as the other; figures are the best of the rounds, for whatever else the
 * machine does only adds, and the ratio of the processor time is the median of those of the rounds. The bare clients
 * check what ours check (MD5 for gs: and az:, SHA-256 for http:), so that the ratio is that of our layer. The last
 * line is the layer with nothing below it.
 *
 *     npm run bench -- objects [--json] [--quick] [--only s3]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { Agent } from 'undici';
import type { ObjectStoreOptions } from '../src/objects/object-store.ts';
import { openObjectStore } from '../src/objects/open.ts';
import { OptionReader } from '../src/objects/options.ts';
import type { ObjectBackend } from '../src/objects/remote/backend.ts';
import { RemoteStore } from '../src/objects/remote/remote-store.ts';
import { retryPolicy, withRetries } from '../src/objects/remote/retries.ts';
import { silentLogger } from '../src/system/log/logger.ts';
import { systemRandom } from '../src/system/random.ts';
import { systemClock } from '../src/system/time/clock.ts';
import { benchArguments } from './support/arguments.ts';
import { median, type Row, report } from './support/report.ts';

interface Client {
  put(key: string, body: Uint8Array): Promise<unknown>;
  get(key: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface Scheme {
  readonly name: string;
  ours(): Promise<Client>;
  bare(): Promise<Client>;
}

const { json, quick, only } = benchArguments();
const ROUNDS = quick ? 2 : 8;

async function startBlobServer(): Promise<{ origin: string; child: ChildProcess }> {
  const program = fileURLToPath(new URL('./support/blob-server.ts', import.meta.url));
  const child = fork(program, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  if (child.stdout === null) throw new Error('no output');
  const [port] = await once(createInterface({ input: child.stdout }), 'line');
  return { origin: `http://127.0.0.1:${port}`, child };
}

function schemes(origin: string, folder: string): Scheme[] {
  const ours = (url: string, options: ObjectStoreOptions) => () =>
    openObjectStore(url, { allow_http: true, ...options });
  return [
    {
      name: 's3',
      ours: ours('s3://bucket/base', {
        aws_endpoint: origin,
        aws_region: 'eu-west-1',
        aws_access_key_id: 'x',
        aws_secret_access_key: 'x',
      }),
      bare: async () => bareS3(origin),
    },
    {
      name: 'gs',
      ours: ours('gs://bucket/base', { google_endpoint: origin, skip_signature: true }),
      bare: async () =>
        bareHttp(origin, 'md5', (key) => ({
          method: 'POST',
          put: `/upload/storage/v1/b/bucket/o?uploadType=media&name=${encodeURIComponent(key)}`,
          get: `/storage/v1/b/bucket/o/${encodeURIComponent(key)}?alt=media`,
        })),
    },
    {
      name: 'az',
      ours: ours('az://container/base', {
        azure_storage_account_name: 'acct',
        azure_storage_account_key: 'a2V5',
        azure_endpoint: `${origin}/acct`,
      }),
      bare: async () => bareAzure(origin),
    },
    {
      name: 'http',
      ours: ours(`${origin}/base`, {}),
      bare: async () =>
        bareHttp(origin, 'sha256', (key) => ({ method: 'PUT', put: `/base/${key}`, get: `/base/${key}` })),
    },
    {
      name: 'file',
      ours: ours(pathToFileURL(join(folder, 'ours')).href, {}),
      bare: async () => bareFile(join(folder, 'bare')),
    },
  ];
}

function bareS3(endpoint: string): Client {
  const credentials = { accessKeyId: 'x', secretAccessKey: 'x' };
  const client = new S3Client({ endpoint, region: 'eu-west-1', credentials, forcePathStyle: true });
  return {
    put: (Key, Body) => client.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body })),
    async get(Key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: 'bucket', Key }));
      if (Body === undefined) throw new Error('no body');
      return Body.transformToByteArray();
    },
    close: async () => client.destroy(),
  };
}

function bareAzure(origin: string): Client {
  const service = new BlobServiceClient(`${origin}/acct`, new StorageSharedKeyCredential('acct', 'a2V5'));
  const container = service.getContainerClient('container');
  return {
    put: (key, body) =>
      container
        .getBlockBlobClient(key)
        .upload(body, body.length, { transactionalContentMD5: hash('md5', body, 'buffer') }),
    async get(key) {
      const { readableStreamBody, contentMD5 } = await container.getBlockBlobClient(key).download();
      const parts: Buffer[] = [];
      for await (const part of readableStreamBody ?? []) parts.push(Buffer.from(part));
      const body = Buffer.concat(parts);
      if (!hash('md5', body, 'buffer').equals(contentMD5 ?? new Uint8Array(0))) throw new Error('damaged');
      return body;
    },
    close: async () => {},
  };
}

function bareHttp(
  origin: string,
  digest: 'md5' | 'sha256',
  paths: (key: string) => { readonly method: 'POST' | 'PUT'; readonly put: string; readonly get: string },
): Client {
  const agent = new Agent({ connections: 128 });
  return {
    async put(key, body) {
      const { method, put } = paths(key);
      const headers = {
        'content-type': 'application/octet-stream',
        'repr-digest': hash(digest, body, 'base64'),
      };
      const answer = await agent.request({ origin, path: put, method, headers, body });
      if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
      await answer.body.dump();
    },
    async get(key) {
      const answer = await agent.request({ origin, path: paths(key).get, method: 'GET' });
      if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
      const body = new Uint8Array(await answer.body.arrayBuffer());
      if (digest === 'md5' && hash('md5', body, 'base64') !== answer.headers['content-md5'])
        throw new Error('damaged');
      return body;
    },
    close: () => agent.close(),
  };
}

/** What one would write with node:fs to get whole files: asynchronous, a temporary name, a rename. */
function bareFile(folder: string): Client {
  mkdirSync(join(folder, 'p'), { recursive: true });
  return {
    async put(key, body) {
      const path = join(folder, key);
      await writeFile(`${path}~`, body);
      await rename(`${path}~`, path);
    },
    get: (key) => readFile(join(folder, key)),
    close: async () => {},
  };
}

interface Measured {
  readonly perSecond: number;
  readonly cpuMs: number;
}

async function measure(
  operations: number,
  concurrency: number,
  run: (index: number) => Promise<unknown>,
): Promise<Measured> {
  let next = 0;
  const cpu = process.cpuUsage();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < operations) await run(next++);
    }),
  );
  const takenMs = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: (operations / takenMs) * 1_000, cpuMs: (user + system) / 1_000 / operations };
}

async function compare(scheme: Scheme): Promise<Row[]> {
  const clients = { ours: await scheme.ours(), bare: await scheme.bare() };
  const rows: Row[] = [];
  for (const sizeBytes of [10_000, 100_000]) {
    const body = new Uint8Array(sizeBytes).map((_, i) => (i * 31) & 0xff);
    const operations = (sizeBytes > 50_000 ? 400 : 1_000) / (quick ? 5 : 1);
    for (const concurrency of [1, 32]) {
      const found = { ours: { put: [], get: [] }, bare: { put: [], get: [] } } as Record<
        'ours' | 'bare',
        Record<'put' | 'get', Measured[]>
      >;
      // The first round is for warming up.
      for (let round = 0; round <= ROUNDS; round++) {
        for (const who of round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const)) {
          const client = clients[who];
          const put = await measure(operations, concurrency, (index) =>
            client.put(`p/${index}-in.bin`, body),
          );
          const get = await measure(operations, concurrency, async (index) => {
            const { length } = await client.get(`p/${index}-in.bin`);
            if (length !== sizeBytes) throw new Error(`${length} bytes`);
          });
          if (round === 0) continue;
          found[who].put.push(put);
          found[who].get.push(get);
        }
      }
      for (const call of ['put', 'get'] as const) {
        const perSecond = (who: 'ours' | 'bare') =>
          Math.max(...found[who][call].map((each) => each.perSecond));
        const cpuMs = (who: 'ours' | 'bare') => Math.min(...found[who][call].map((each) => each.cpuMs));
        rows.push({
          store: scheme.name,
          call,
          kB: sizeBytes / 1_000,
          concurrency,
          'ours/s': perSecond('ours'),
          'bare/s': perSecond('bare'),
          'ours CPU ms': cpuMs('ours'),
          'bare CPU ms': cpuMs('bare'),
          'CPU ratio': median(
            found.ours[call].map((each, i) => each.cpuMs / (found.bare[call][i]?.cpuMs ?? 0)),
          ),
          'rate ratio': perSecond('ours') / perSecond('bare'),
        });
      }
    }
  }
  await clients.ours.close();
  await clients.bare.close();
  return rows;
}

/** What retries, time limits and keys add to a call, over a backend that answers at once. */
async function layerAlone(): Promise<Row> {
  const nothing: ObjectBackend = {
    deleteMax: 1,
    put: async () => {},
    get: async () => new Uint8Array(0),
    delete: async () => {},
    list: async () => ({ objects: [], folders: [], token: undefined }),
    close: async () => {},
  };
  const policy = retryPolicy(new OptionReader({}, ''));
  const context = { url: '', clock: systemClock, random: systemRandom, logger: silentLogger };
  const store = new RemoteStore('', 'base', withRetries(nothing, policy, context));
  const body = new Uint8Array(0);
  const key = 'p/0-in.bin';
  const cpuMs = async (run: () => Promise<void>) => {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++)
      rounds.push((await measure(quick ? 20_000 : 100_000, 32, run)).cpuMs);
    return Math.min(...rounds);
  };
  const ours = await cpuMs(() => store.put(key, body));
  const bare = await cpuMs(() => nothing.put(key, body, new AbortController().signal));
  return { store: 'none', call: 'put', kB: 0, concurrency: 32, 'ours CPU ms': ours, 'bare CPU ms': bare };
}

const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-objects-'));
const { origin, child } = await startBlobServer();
const rows: Row[] = [];
for (const scheme of schemes(origin, folder)) {
  if (only === null || scheme.name === only) rows.push(...(await compare(scheme)));
}
if (only === null) rows.push(await layerAlone());
child.disconnect();
rmSync(folder, { recursive: true, force: true });
report('Object stores: ours beside the bare client, on the same server', rows, json);
