import { hash } from 'node:crypto';
import { IncorrectUsageError } from '../../../model/errors.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { ObjectStoreError } from '../../errors.ts';
import type { ObjectInfo } from '../../object-store.ts';
import type { OptionReader } from '../../options.ts';
import type { ObjectStoreLocation } from '../../url.ts';
import type { ListPage, ListQuery, ObjectBackend } from '../backend.ts';
import { corrupt, type FailedCall, failureOfLogin } from '../failures.ts';
import { loadCredentials } from '../load.ts';
import {
  type ConnectionOptions,
  failureOfAnswer,
  HttpTransport,
  headerText,
  isSuccess,
  type TransportAnswer,
  type TransportRequest,
} from './transport.ts';
import { type DavResource, PROPFIND_BODY, parseMultistatus } from './webdav.ts';

/** Folders of one page of a listing of folders: each costs a request, and all of a page come within one try's time. */
const FOLDERS_PER_PAGE = 100;
/** Folders that are looked into at once; each answer may be large. */
const LOOKS_AT_ONCE = 8;
/** Redirections of one request that are followed. */
const REDIRECTIONS_MAX = 5;

/** Answers to a PUT where the folder may be missing: 409 by RFC 4918, 404 from some, 500 from nginx. */
const MAY_LACK_FOLDER = new Set([404, 409, 500]);

interface Authorization {
  header(): Promise<string | undefined>;
  /** Whether asking again may bring another header. */
  readonly isFixed: boolean;
}

/** `http:` and `https:`: a WebDAV server, or whatever understands PUT and GET (then without listing). */
export class HttpBackend implements ObjectBackend {
  readonly deleteMax = 100;
  readonly #transport: HttpTransport;
  readonly #origin: string;
  readonly #authorization: Authorization;
  readonly #clock: Clock;
  /** Folders that are being made, each once; resolves with whether it has worked. */
  readonly #making = new Map<string, Promise<boolean>>();

  constructor(transport: HttpTransport, origin: string, authorization: Authorization, clock: Clock) {
    this.#transport = transport;
    this.#origin = origin;
    this.#authorization = authorization;
    this.#clock = clock;
  }

  async put(name: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const call = { key: name, what: 'put' };
    // Servers that know RFC 9530 refuse what arrives damaged; the others do not mind.
    const headers = {
      'content-type': 'application/octet-stream',
      'repr-digest': `sha-256=:${hash('sha256', body, 'base64')}:`,
    };
    const request: TransportRequest = { method: 'PUT', path: pathOf(name), headers, body };
    let answer = await this.#send(call, request, signal);
    if (MAY_LACK_FOLDER.has(answer.status)) {
      const worked = await this.#makeFolderAfter(call, name, answer, signal);
      if (worked) answer = await this.#send(call, request, signal);
    }
    this.#expectSuccess(call, answer);
  }

  async get(name: string, signal: AbortSignal): Promise<Uint8Array> {
    const call = { key: name, what: 'get' };
    const answer = await this.#send(call, { method: 'GET', path: pathOf(name) }, signal);
    if (answer.status !== 200) {
      // A server that knows GET for files only answers 405 for what is none.
      const status = answer.status === 405 ? 404 : answer.status;
      throw this.#failure(call, { ...answer, status });
    }
    checkDigest(name, answer);
    return answer.body;
  }

  /**
   * Folders stay, also those that become empty: DELETE takes a folder with all that is in it, and nothing tells the
   * server to do so only if that is nothing; what another client writes in that moment would be lost.
   */
  async delete(names: readonly string[], signal: AbortSignal): Promise<void> {
    const queue = names.values();
    const deleteAll = async () => {
      for (const name of queue) await this.#deleteOne({ key: name, what: 'delete' }, name, signal);
    };
    await Promise.all(Array.from({ length: Math.min(16, names.length) }, deleteAll));
  }

  /** A page is one folder; its subfolders wait in the token. */
  async list(query: ListQuery, signal: AbortSignal): Promise<ListPage> {
    if (query.folders) return this.#listFolders(query, signal);
    const start = query.start.replace(/\/$/, '');
    const pending = Array.isArray(query.token) ? query.token.map(String) : [start];
    const folder = pending[0] ?? start;
    const members = await this.#members(folder, signal);
    const below = members.filter((member) => member.isCollection).map((member) => member.name);
    const token = [...below, ...pending.slice(1)];
    return {
      objects: members.filter((member) => !member.isCollection).map(objectInfo),
      folders: [],
      token: token.length === 0 ? undefined : token,
    };
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /** A page is some of the folders; the others wait in the token. Of them only those are told that hold objects. */
  async #listFolders(query: ListQuery, signal: AbortSignal): Promise<ListPage> {
    const { start, token, pageMax } = query;
    const { names, at } = token instanceof FoldersLeft ? token : await this.#foldersBelow(start, signal);
    const end = at + Math.min(pageMax, FOLDERS_PER_PAGE);
    const page = names.slice(at, end);
    const holds = new Set<string>();
    const queue = page.values();
    const lookIntoAll = async () => {
      for (const name of queue) if (await this.#hasObjects(start + name, signal)) holds.add(name);
    };
    await Promise.all(Array.from({ length: Math.min(LOOKS_AT_ONCE, page.length) }, lookIntoAll));
    return {
      objects: [],
      folders: page.filter((name) => holds.has(name)),
      token: end < names.length ? new FoldersLeft(names, end) : undefined,
    };
  }

  async #foldersBelow(start: string, signal: AbortSignal): Promise<FoldersLeft> {
    const members = await this.#members(start.replace(/\/$/, ''), signal);
    const folders = members.filter((member) => member.isCollection);
    return new FoldersLeft(
      folders.map(({ name }) => name.slice(start.length)),
      0,
    );
  }

  /** Whether any object lies in a folder: servers keep folders that have become empty. */
  async #hasObjects(folder: string, signal: AbortSignal): Promise<boolean> {
    const members = await this.#members(folder, signal);
    if (members.some((member) => !member.isCollection)) return true;
    for (const member of members) if (await this.#hasObjects(member.name, signal)) return true;
    return false;
  }

  async #deleteOne(call: FailedCall, name: string, signal: AbortSignal): Promise<void> {
    const answer = await this.#send(call, { method: 'DELETE', path: pathOf(name) }, signal);
    if (answer.status !== 404 && answer.status !== 410) this.#expectSuccess(call, answer);
  }

  /** Whether the folder of a name is there after a PUT that may have failed for the lack of it. */
  async #makeFolderAfter(
    call: FailedCall,
    name: string,
    { status }: TransportAnswer,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await this.#makeFolderOf(call, name, signal);
      return true;
    } catch (error) {
      // A 500 may mean anything: then it is what counts, not that no folder could be made either.
      if (status !== 500 || signal.aborted) throw error;
      return false;
    }
  }

  /**
   * Makes the folders above a name, unless another call does: many chunks of a new submission come at once, and
   * servers such as wsgidav fail when the same folder is made twice at the same time.
   */
  async #makeFolderOf(call: FailedCall, name: string, signal: AbortSignal): Promise<void> {
    const folder = parentOf(name);
    for (let other = this.#making.get(folder); other !== undefined; other = this.#making.get(folder)) {
      if (await other) return;
      signal.throwIfAborted();
    }
    const making = this.#makeParents(call, name, signal);
    const worked = making.then(
      () => true,
      () => false,
    );
    this.#making.set(folder, worked);
    try {
      await making;
    } finally {
      this.#making.delete(folder);
    }
  }

  /**
   * Makes the folders above a name: climbs while the server answers that the parent is missing (409), then comes
   * down again. 405 and 301 mean that the folder is there. The name of a folder ends in a slash (RFC 4918, 5.2): without
   * it nginx refuses with a 409.
   */
  async #makeParents(call: FailedCall, name: string, signal: AbortSignal): Promise<void> {
    const missing = [parentOf(name)];
    for (;;) {
      const folder = missing.at(-1) ?? '';
      if (folder === '') return;
      const answer = await this.#send(call, { method: 'MKCOL', path: `${pathOf(folder)}/` }, signal);
      if (answer.status === 409 && parentOf(folder) !== '') {
        missing.push(parentOf(folder));
        continue;
      }
      if (answer.status !== 405 && answer.status !== 301) {
        this.#expectSuccess({ ...call, what: `${call.what}: MKCOL ${folder}` }, answer);
      }
      missing.pop();
      if (missing.length === 0) return;
    }
  }

  async #members(folder: string, signal: AbortSignal): Promise<Member[]> {
    const call = { key: folder, what: 'list' };
    const answer = await this.#propfind(call, folder, signal);
    if (answer.status === 404) return [];
    if (answer.status !== 207) throw this.#failure(call, answer);
    return this.#readMembers(call, folder, answer);
  }

  #propfind(call: FailedCall, folder: string, signal: AbortSignal): Promise<TransportAnswer> {
    const request = {
      method: 'PROPFIND',
      path: folder === '' ? '/' : `${pathOf(folder)}/`,
      headers: { depth: '1', 'content-type': 'application/xml; charset=utf-8' },
      body: PROPFIND_BODY,
    };
    return this.#send(call, request, signal);
  }

  #readMembers(call: FailedCall, folder: string, answer: TransportAnswer): Member[] {
    const body = Buffer.from(answer.body.buffer).toString();
    let resources: DavResource[];
    try {
      resources = parseMultistatus(body);
    } catch (cause) {
      throw corrupt(call.key, call.what, `the answer is not a list: ${cause}`, cause);
    }
    const found = resources.map((resource) => ({ ...resource, name: this.#nameOf(resource.href) }));
    const members = found.filter(({ name }) => name !== folder);
    const stranger = members.find(({ name }) => folder !== '' && !name.startsWith(`${folder}/`));
    if (stranger !== undefined || members.length === found.length) {
      const instead = stranger === undefined ? 'does not name that folder' : `names ${stranger.href}`;
      // What is not understood must not be taken for an empty folder. Another try would bring the same.
      throw new ObjectStoreError(
        'OBJECT_CORRUPT',
        call.key,
        `object ${call.key}: ${call.what}: the answer to PROPFIND ${instead}: does a proxy in front of the server rewrite paths?`,
      );
    }
    return members;
  }

  #nameOf(href: string): string {
    const { pathname } = new URL(href, this.#origin);
    const segments = pathname.split('/').filter((segment) => segment !== '');
    return segments.map(decode).join('/');
  }

  /** A refused login (its token has had its time) is asked for once more. */
  async #send(call: FailedCall, request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer> {
    const answer = await this.#sendOnce(call, request, signal);
    if (answer.status !== 401 || this.#authorization.isFixed) return answer;
    return this.#sendOnce(call, request, signal);
  }

  /** Follows redirections within the server; a login goes nowhere else. */
  async #sendOnce(
    call: FailedCall,
    request: TransportRequest,
    signal: AbortSignal,
  ): Promise<TransportAnswer> {
    const authorization = await this.#login(call);
    const headers = authorization === undefined ? request.headers : { ...request.headers, authorization };
    let path = request.path;
    for (let followed = 0; ; followed++) {
      const answer = await this.#transport.send(
        call,
        { ...request, path, ...(headers ? { headers } : {}) },
        signal,
      );
      const target = request.method === 'MKCOL' ? null : this.#redirection(answer, path);
      if (target === null) return answer;
      if (followed === REDIRECTIONS_MAX) {
        throw new ObjectStoreError(
          'OBJECT_FAILED',
          call.key,
          `object ${call.key}: ${call.what}: too many redirections`,
        );
      }
      path = target;
    }
  }

  async #login(call: FailedCall): Promise<string | undefined> {
    try {
      return await this.#authorization.header();
    } catch (cause) {
      throw failureOfLogin({ ...call, cause });
    }
  }

  /** The path that an answer sends us to; null if it is an answer. */
  #redirection(answer: TransportAnswer, path: string): string | null {
    const { status } = answer;
    const location = headerText(answer, 'location');
    if (location === undefined || ![301, 302, 307, 308].includes(status)) return null;
    if (!URL.canParse(location, this.#origin + path)) return null;
    const url = new URL(location, this.#origin + path);
    return url.origin === this.#origin ? url.pathname + url.search : null;
  }

  #expectSuccess(call: FailedCall, answer: TransportAnswer): void {
    if (!isSuccess(answer.status)) throw this.#failure(call, answer);
  }

  #failure(call: FailedCall, answer: TransportAnswer): ObjectStoreError {
    return failureOfAnswer(call, answer, this.#clock.nowMs());
  }
}

/** Where a listing of folders goes on. */
class FoldersLeft {
  readonly names: readonly string[];
  readonly at: number;

  constructor(names: readonly string[], at: number) {
    this.names = names;
    this.at = at;
  }
}

interface Member extends DavResource {
  readonly name: string;
}

/** Reads the options of `http:` and opens its backend. */
export async function openHttpBackend(
  location: Extract<ObjectStoreLocation, { kind: 'http' }>,
  options: OptionReader,
  connection: ConnectionOptions,
  clock: Clock,
): Promise<HttpBackend> {
  if (location.origin.startsWith('http:') && !connection.allowHttp) {
    throw new IncorrectUsageError(
      `object store URL "${location.url}": plain http needs the object store option allow_http: true`,
    );
  }
  const authorization = await login(location, options);
  return new HttpBackend(
    await HttpTransport.open('http', location.origin, connection),
    location.origin,
    authorization,
    clock,
  );
}

async function login(
  location: Extract<ObjectStoreLocation, { kind: 'http' }>,
  options: OptionReader,
): Promise<Authorization> {
  const own = await loadCredentials(options);
  if (typeof own === 'function') return { header: async () => String(await own()), isFixed: false };
  if (own !== undefined) {
    throw new IncorrectUsageError(
      'object store option credentials_module: for http its function returns a function that returns the Authorization header',
    );
  }
  const token = options.text('bearer_token');
  const basic = `${location.username}:${location.password}`;
  const header =
    token !== undefined
      ? `Bearer ${token}`
      : basic !== ':'
        ? `Basic ${Buffer.from(basic).toString('base64')}`
        : undefined;
  return { header: async () => header, isFixed: true };
}

function objectInfo(member: Member): ObjectInfo {
  return { key: member.name, sizeBytes: member.sizeBytes, modifiedMs: member.modifiedMs };
}

/** Whatever the server says about the bytes that it sent must be true of those that came. */
function checkDigest(name: string, answer: TransportAnswer): void {
  const { body } = answer;
  const digests = headerText(answer, 'repr-digest') ?? headerText(answer, 'content-digest') ?? '';
  const sha256 = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):/.exec(digests)?.[1];
  if (sha256 !== undefined && sha256 !== hash('sha256', body, 'base64')) {
    throw corrupt(name, 'get', 'its SHA-256 is another');
  }
  const md5 = headerText(answer, 'content-md5');
  if (md5 !== undefined && md5 !== hash('md5', body, 'base64'))
    throw corrupt(name, 'get', 'its MD5 is another');
}

/** In the path of a URL, names are encoded once more. */
function pathOf(name: string): string {
  // What nearly all names are made of stays as it is.
  if (/^[\w./-]*$/.test(name)) return `/${name}`;
  return `/${name.split('/').map(encodeURIComponent).join('/')}`;
}

function parentOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('/')));
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    // Not UTF-8: none of ours.
    return segment;
  }
}
