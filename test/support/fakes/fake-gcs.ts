import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listening, type RunningFake, readAll } from './fake-server.ts';

interface Stored {
  readonly body: Buffer;
  readonly updated: string;
}

/**
 * The part of Google Cloud Storage's JSON API that opsqueue uses, in memory: media upload, download, delete, list with
 * pages and folders. Lists have pages of at most `pageMax`. A wanted token answers 401 to all others.
 */
export async function startFakeGcs(
  options: { readonly pageMax?: number; readonly token?: () => string } = {},
): Promise<RunningFake> {
  const { pageMax = 1_000, token } = options;
  const buckets = new Map<string, Map<string, Stored>>();
  const objectsOf = (bucket: string) => {
    const objects = buckets.get(bucket) ?? new Map<string, Stored>();
    buckets.set(bucket, objects);
    return objects;
  };

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://fake');
    if (token !== undefined && request.headers.authorization !== `Bearer ${token()}`) {
      request.resume();
      return json(response, 401, { error: { code: 401, message: 'Invalid Credentials' } });
    }
    const upload = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(url.pathname);
    const plain = /^\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname);
    const objects = objectsOf(decodeURIComponent(upload?.[1] ?? plain?.[1] ?? ''));
    if (upload !== null && request.method === 'POST') return put(request, response, objects, url);
    if (plain !== null && plain[2] === undefined && request.method === 'GET')
      return list(response, objects, url, pageMax);
    if (plain !== null && plain[2] !== undefined) {
      return one(request, response, objects, decodeURIComponent(plain[2]));
    }
    json(response, 400, { error: { code: 400, message: `no such call: ${request.method} ${request.url}` } });
  });
  return listening(server);
}

async function put(
  request: IncomingMessage,
  response: ServerResponse,
  objects: Map<string, Stored>,
  url: URL,
) {
  const name = url.searchParams.get('name');
  const body = await readAll(request);
  if (name === null || url.searchParams.get('uploadType') !== 'media') return json(response, 400, {});
  if (url.searchParams.get('ifGenerationMatch') === '0' && objects.has(name)) return json(response, 412, {});
  objects.set(name, { body, updated: new Date().toISOString() });
  json(response, 200, { name, size: String(body.length), md5Hash: md5(body) });
}

function one(request: IncomingMessage, response: ServerResponse, objects: Map<string, Stored>, name: string) {
  const stored = objects.get(name);
  request.resume();
  if (stored === undefined)
    return json(response, 404, { error: { code: 404, message: `No such object: ${name}` } });
  if (request.method === 'DELETE') {
    objects.delete(name);
    response.writeHead(204).end();
  } else {
    response
      .writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': stored.body.length,
        'x-goog-hash': `crc32c=AAAAAA==,md5=${md5(stored.body)}`,
      })
      .end(stored.body);
  }
}

function list(response: ServerResponse, objects: Map<string, Stored>, url: URL, pageMax: number) {
  const prefix = url.searchParams.get('prefix') ?? '';
  const delimiter = url.searchParams.get('delimiter');
  const after = url.searchParams.get('pageToken') ?? '';
  const wanted = Math.min(Number(url.searchParams.get('maxResults') ?? 1_000), pageMax);
  const entries = new Map<string, Stored | null>();
  for (const [name, stored] of objects) {
    if (!name.startsWith(prefix)) continue;
    const end = delimiter === null ? -1 : name.indexOf(delimiter, prefix.length);
    if (end === -1) entries.set(name, stored);
    else entries.set(name.slice(0, end + 1), null);
  }
  const names = [...entries.keys()].filter((name) => name > after).sort();
  const page = names.slice(0, wanted);
  const items = page.flatMap((name) => {
    const stored = entries.get(name);
    return stored ? [{ name, size: String(stored.body.length), updated: stored.updated }] : [];
  });
  const prefixes = page.filter((name) => entries.get(name) === null);
  const more = names.length > wanted ? { nextPageToken: page.at(-1) } : {};
  json(response, 200, {
    ...(items.length > 0 ? { items } : {}),
    ...(prefixes.length > 0 ? { prefixes } : {}),
    ...more,
  });
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function md5(body: Buffer): string {
  return createHash('md5').update(body).digest('base64');
}
