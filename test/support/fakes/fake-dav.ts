import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { listening, type RunningFake, readAll } from './fake-server.ts';

interface Stored {
  readonly body: Buffer;
  readonly modified: Date;
}

/**
 * A small WebDAV server in memory: PUT, GET, DELETE, MKCOL, PROPFIND of depth 0 and 1. As RFC 4918 wants it, a PUT or
 * MKCOL below a folder that does not exist is a 409. It checks and sends `Repr-Digest`. `basic` is a wanted login; `onRequest` is told of
 * every request, and may give another status for it; `hrefPrefix` stands in front of all paths that it tells, as if a
 * proxy had taken that away from those that it is asked for. `likeNginx`: a MKCOL without a slash at the end is a 409, and a
 * PUT below a folder that does not exist a 500.
 */
export async function startFakeDav(
  options: {
    readonly basic?: string;
    readonly onRequest?: (method: string, path: string) => number | undefined;
    readonly hrefPrefix?: string;
    readonly likeNginx?: boolean;
  } = {},
): Promise<RunningFake> {
  const files = new Map<string, Stored>();
  const folders = new Set<string>(['']);

  const server = createServer(async (request, response) => {
    const body = await readAll(request);
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://fake').pathname).replace(
      /^\/|\/$/g,
      '',
    );
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    const wanted = `Basic ${Buffer.from(options.basic ?? '').toString('base64')}`;
    if (options.basic !== undefined && request.headers.authorization !== wanted) return answer(response, 401);
    const status = options.onRequest?.(request.method ?? '', path);
    if (status !== undefined) return answer(response, status);
    switch (request.method) {
      case 'PUT': {
        if (!folders.has(parent)) return answer(response, options.likeNginx === true ? 500 : 409);
        if (folders.has(path)) return answer(response, 409);
        const claimed = request.headers['repr-digest'];
        if (claimed !== undefined && claimed !== digest(body)) return answer(response, 400);
        const isNew = !files.has(path);
        files.set(path, { body, modified: new Date() });
        return answer(response, isNew ? 201 : 204);
      }
      case 'GET': {
        const file = files.get(path);
        if (folders.has(path)) return answer(response, 405);
        if (file === undefined) return answer(response, 404);
        response.writeHead(200, { 'content-length': file.body.length, 'repr-digest': digest(file.body) });
        return response.end(file.body);
      }
      case 'DELETE': {
        if (!files.has(path) && !folders.has(path)) return answer(response, 404);
        for (const name of files.keys()) if (name === path || name.startsWith(`${path}/`)) files.delete(name);
        for (const name of folders) if (name === path || name.startsWith(`${path}/`)) folders.delete(name);
        return answer(response, 204);
      }
      case 'MKCOL':
        if (options.likeNginx === true && !request.url?.endsWith('/')) return answer(response, 409);
        if (folders.has(path) || files.has(path)) return answer(response, 405);
        if (!folders.has(parent)) return answer(response, 409);
        folders.add(path);
        return answer(response, 201);
      case 'PROPFIND': {
        if (!folders.has(path) && !files.has(path)) return answer(response, 404);
        const isMember = (name: string) =>
          name !== '' && name.slice(0, Math.max(0, name.lastIndexOf('/'))) === path && name !== path;
        const below = request.headers.depth === '1';
        const shown = [
          ...(folders.has(path) ? [folderXml(path)] : []),
          ...(below ? [...folders].filter(isMember).map(folderXml) : []),
          ...[...files].filter(([name]) => (below && isMember(name)) || name === path).map(fileXml),
        ];
        response.writeHead(207, { 'content-type': 'application/xml; charset="utf-8"' });
        return response.end(
          `<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">${shown.join('\n')}</D:multistatus>`.replaceAll(
            '<D:href>',
            `<D:href>${options.hrefPrefix ?? ''}`,
          ),
        );
      }
      default:
        return answer(response, 405);
    }
  });
  return listening(server);
}

function folderXml(path: string): string {
  return responseXml(`${href(path)}/`, '<D:resourcetype><D:collection/></D:resourcetype>');
}

function fileXml([path, file]: [string, Stored]): string {
  return responseXml(
    href(path),
    `<D:resourcetype/><D:getcontentlength>${file.body.length}</D:getcontentlength>` +
      `<D:getlastmodified>${file.modified.toUTCString()}</D:getlastmodified>`,
  );
}

function responseXml(path: string, properties: string): string {
  return (
    `<D:response><D:href>${path}</D:href><D:propstat><D:prop>${properties}</D:prop>` +
    '<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>'
  );
}

function href(path: string): string {
  return `/${path.split('/').map(encodeURIComponent).join('/')}`.replace(/&/g, '&amp;').replace(/^\/$/, '');
}

function digest(body: Buffer): string {
  return `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;
}

function answer(response: ServerResponse, status: number): void {
  response.writeHead(status).end();
}
