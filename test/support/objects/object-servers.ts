import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { startFauxqs } from 'fauxqs';
import type { ObjectStoreOptions } from '../../../src/objects/object-store.ts';
import { startFakeDav } from '../fakes/fake-dav.ts';
import { startFakeGcs } from '../fakes/fake-gcs.ts';

/** A server that keeps objects, and how to get at them. */
export interface ObjectServer {
  readonly scheme: string;
  readonly origin: string;
  /** A base path of that name; at another origin if something stands in front. */
  place(name: string, origin?: string): { readonly url: string; readonly options: ObjectStoreOptions };
  stop(): Promise<void>;
}

const BUCKET = 'chunks';
const CREATE_MS_MAX = 15_000;

export async function startS3Server(): Promise<ObjectServer> {
  const server = await startFauxqs({ port: 0, host: '127.0.0.1', logger: false });
  server.createBucket(BUCKET);
  const origin = `http://127.0.0.1:${server.port}`;
  return {
    scheme: 's3',
    origin,
    place: (name, at = origin) => ({
      url: `s3://${BUCKET}/${name}`,
      options: {
        aws_endpoint: at,
        aws_region: 'eu-west-1',
        aws_access_key_id: 'test',
        aws_secret_access_key: 'test',
        allow_http: true,
      },
    }),
    stop: () => server.stop(),
  };
}

export async function startGsServer(): Promise<ObjectServer> {
  const server = await startFakeGcs({ pageMax: 100 });
  return {
    scheme: 'gs',
    origin: server.origin,
    place: (name, at = server.origin) => ({
      url: `gs://${BUCKET}/${name}`,
      options: { google_endpoint: at, skip_signature: true, allow_http: true },
    }),
    stop: () => server.stop(),
  };
}

export async function startHttpServer(): Promise<ObjectServer> {
  const server = await startFakeDav();
  return {
    scheme: 'http',
    origin: server.origin,
    place: (name, at = server.origin) => ({ url: `${at}/data/${name}`, options: { allow_http: true } }),
    stop: () => server.stop(),
  };
}

const ACCOUNT = 'devstoreaccount1';
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** Azurite, in a process of its own; `npm test` installs it first where it is not yet. */
export async function startAzServer(): Promise<ObjectServer> {
  const program = fileURLToPath(
    new URL('../../azurite/node_modules/azurite/dist/src/blob/main.js', import.meta.url),
  );
  if (!existsSync(program))
    throw new Error('azurite is not installed: npm ci --omit=dev --prefix test/azurite');
  const child = spawn(
    process.execPath,
    [
      program,
      '--inMemoryPersistence',
      '--skipApiVersionCheck',
      '--silent',
      '--disableTelemetry',
      '--blobPort',
      '0',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let origin = '';
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /successfully listens on (http:\S+)/.exec(line)?.[1];
    if (address === undefined) continue;
    origin = address;
    break;
  }
  if (origin === '') throw new Error('azurite ended before it listened');
  child.stdout.resume();
  const service = new BlobServiceClient(`${origin}/${ACCOUNT}`, new StorageSharedKeyCredential(ACCOUNT, KEY));
  try {
    await service.getContainerClient(BUCKET).create({ abortSignal: AbortSignal.timeout(CREATE_MS_MAX) });
  } catch (cause) {
    // A child that is left would keep the test file from ending.
    child.kill('SIGKILL');
    throw new Error('azurite does not answer: is there a proxy in the environment?', { cause });
  }
  return {
    scheme: 'az',
    origin,
    place: (name, at = origin) => ({
      url: `az://${BUCKET}/${name}`,
      options: {
        azure_storage_account_name: ACCOUNT,
        azure_storage_account_key: KEY,
        azure_endpoint: `${at}/${ACCOUNT}`,
        allow_http: true,
      },
    }),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** One for each scheme, from the npm registry or from this folder. */
export const SERVERS: Readonly<Record<string, () => Promise<ObjectServer>>> = {
  s3: startS3Server,
  gs: startGsServer,
  http: startHttpServer,
  az: startAzServer,
};
