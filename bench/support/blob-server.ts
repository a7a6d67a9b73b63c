/**
 * A server that keeps bytes by path and knows just enough of S3, Google's JSON API, Azure Blob and WebDAV to please
 * their clients: what is measured in front of it is the client. Prints its port, ends with its parent.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Blob {
  readonly body: Buffer;
  readonly md5: string;
  readonly crc32: string | undefined;
}

const blobs = new Map<string, Blob>();
const modified = new Date().toUTCString();

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const url = new URL(request.url ?? '/', 'http://blob');
  const upload = url.pathname.startsWith('/upload/storage/');
  const name = upload
    ? `${url.pathname.slice('/upload'.length)}/${encodeURIComponent(url.searchParams.get('name') ?? '')}`
    : url.pathname;
  if (request.method === 'GET') {
    const blob = blobs.get(name);
    if (blob === undefined) return void response.writeHead(404).end();
    response.writeHead(200, {
      'content-length': blob.body.length,
      'content-type': 'application/octet-stream',
      ...(name.startsWith('/base/') ? {} : { 'content-md5': blob.md5 }),
      'x-goog-hash': `md5=${blob.md5}`,
      ...(blob.crc32 === undefined ? {} : { 'x-amz-checksum-crc32': blob.crc32 }),
      etag: '"1"',
      'last-modified': modified,
    });
    return void response.end(blob.body);
  }
  const body = Buffer.concat(parts);
  const md5 = createHash('md5').update(body).digest('base64');
  const crc32 = request.headers['x-amz-checksum-crc32'];
  blobs.set(name, { body, md5, crc32: Array.isArray(crc32) ? crc32[0] : crc32 });
  if (upload) {
    response.writeHead(200, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify({ md5Hash: md5, size: String(body.length) }));
  }
  const created = request.headers['x-ms-blob-type'] === undefined ? 200 : 201;
  response.writeHead(created, { 'content-length': 0, etag: '"1"', 'last-modified': modified }).end();
}

const server = createServer((request, response) => void handle(request, response));
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
