import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from '../support/network/free-port.ts';
import type { ObjectServer } from '../support/objects/object-servers.ts';
import { eventually } from '../support/time/eventually.ts';

const BUCKET = 'chunks';
const ACCESS = 'strict-access';
const SECRET = 'strict-secret';
const START_MS_MAX = 30_000;

/** A server that checks more than those of `npm test` do, and is not to be had from the npm registry. */
export interface StrictServer {
  /** The command that is looked for in the path. */
  readonly command: string;
  /** How to get it. */
  readonly install: string;
  readonly start: () => Promise<ObjectServer>;
  readonly overwritesInPlace?: boolean;
  readonly hidesDotNames?: boolean;
}

export const STRICT_SERVERS: readonly StrictServer[] = [
  {
    command: 'versitygw',
    install: 'go install github.com/versity/versitygw/cmd/versitygw@latest',
    start: () =>
      startS3('versitygw', (port, folder) => [
        ...['--access', ACCESS, '--secret', SECRET, '--port', `127.0.0.1:${port}`, '--quiet'],
        ...['posix', '--sidecar', `${folder}/sidecar`, `${folder}/data`],
      ]),
  },
  {
    command: 'moto_server',
    install: "pip install 'moto[server]'",
    start: () => startS3('moto_server', (port) => ['-H', '127.0.0.1', '-p', String(port)]),
  },
  {
    command: 'fake-gcs-server',
    install: 'go install github.com/fsouza/fake-gcs-server@latest',
    start: startGs,
  },
  {
    command: 'nginx',
    install: 'apt-get install nginx-light libnginx-mod-http-dav-ext',
    start: startNginx,
    hidesDotNames: true,
  },
  { command: 'wsgidav', install: 'pip install wsgidav cheroot', start: startDav, overwritesInPlace: true },
];

export function isInstalled(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function startS3(
  command: string,
  args: (port: number, folder: string) => readonly string[],
): Promise<ObjectServer> {
  const running = await run(command, args);
  const credentials = { accessKeyId: ACCESS, secretAccessKey: SECRET };
  const client = new S3Client({
    endpoint: running.origin,
    region: 'us-east-1',
    credentials,
    forcePathStyle: true,
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  client.destroy();
  return {
    ...running,
    scheme: 's3',
    place: (name, at = running.origin) => ({
      url: `s3://${BUCKET}/${name}`,
      options: {
        aws_endpoint: at,
        aws_region: 'us-east-1',
        aws_access_key_id: ACCESS,
        aws_secret_access_key: SECRET,
        allow_http: true,
      },
    }),
  };
}

async function startGs(): Promise<ObjectServer> {
  const running = await run('fake-gcs-server', (port) => [
    ...['-scheme', 'http', '-host', '127.0.0.1', '-port', String(port)],
    ...['-backend', 'memory', '-external-url', `http://127.0.0.1:${port}`, '-log-level', 'error'],
  ]);
  const created = await fetch(`${running.origin}/storage/v1/b?project=test`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: BUCKET }),
  });
  if (!created.ok) throw new Error(`no bucket: ${created.status} ${await created.text()}`);
  return {
    ...running,
    scheme: 'gs',
    place: (name, at = running.origin) => ({
      url: `gs://${BUCKET}/${name}`,
      options: { google_endpoint: at, skip_signature: true, allow_http: true },
    }),
  };
}

async function startDav(): Promise<ObjectServer> {
  const running = await run('wsgidav', (port, folder) => [
    ...['--no-config', '--host', '127.0.0.1', '--port', String(port)],
    ...['--root', `${folder}/data`, '--auth', 'anonymous', '-q'],
  ]);
  return {
    ...running,
    scheme: 'http',
    place: (name, at = running.origin) => ({ url: `${at}/${name}`, options: { allow_http: true } }),
  };
}

/** With what Debian's packages have: PUT, DELETE and MKCOL by its own module, PROPFIND by libnginx-mod-http-dav-ext. */
async function startNginx(): Promise<ObjectServer> {
  const running = await run('nginx', (port, folder) => {
    writeFileSync(join(folder, 'nginx.conf'), nginxConfiguration(port, folder));
    return ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'];
  });
  return {
    ...running,
    scheme: 'http',
    place: (name, at = running.origin) => ({ url: `${at}/${name}`, options: { allow_http: true } }),
  };
}

function nginxConfiguration(port: number, folder: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `  ${name}_temp_path ${folder}/sidecar/${name};`,
  );
  return `
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr error;
events {}
http {
  access_log off;
${temporary.join('\n')}
  server {
    listen 127.0.0.1:${port};
    root ${folder}/data;
    client_max_body_size 0;
    location / {
      dav_methods PUT DELETE MKCOL;
      dav_ext_methods PROPFIND OPTIONS;
    }
  }
}
`;
}

/** Runs a server on a free port, with a folder of its own, and waits until it answers. */
async function run(
  command: string,
  args: (port: number, folder: string) => readonly string[],
): Promise<{ readonly origin: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-strict-'));
  for (const name of ['data', 'sidecar']) mkdirSync(join(folder, name));
  const port = await freePort();
  const child = spawn(command, args(port, folder), { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (part: Buffer) => {
    said = (said + part.toString()).slice(-4_000);
  });
  const exited = once(child, 'exit');
  const origin = `http://127.0.0.1:${port}`;
  try {
    await answers(origin, child);
  } catch (cause) {
    child.kill('SIGKILL');
    throw new Error(`${command} did not start: ${said}`, { cause });
  }
  return {
    origin,
    async stop() {
      child.kill('SIGKILL');
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Rejects if the server ends before it answers. */
async function answers(origin: string, child: ChildProcess): Promise<void> {
  const isUp = async () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    return fetch(origin)
      .then((answer) => answer.arrayBuffer())
      .then(
        () => true,
        () => false,
      );
  };
  await eventually(isUp, START_MS_MAX);
}
