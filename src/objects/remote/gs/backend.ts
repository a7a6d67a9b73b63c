import { hash } from 'node:crypto';
import type { AnyAuthClient, GoogleAuth } from 'google-auth-library';
import { IncorrectUsageError } from '../../../model/errors.ts';
import type { Clock } from '../../../system/time/clock.ts';
import type { ObjectStoreError } from '../../errors.ts';
import type { ObjectInfo } from '../../object-store.ts';
import type { OptionReader } from '../../options.ts';
import type { ListPage, ListQuery, ObjectBackend } from '../backend.ts';
import { checkEndpoint } from '../endpoint.ts';
import { corrupt, type FailedCall, failureOfLogin } from '../failures.ts';
import {
  type ConnectionOptions,
  failureOfAnswer,
  HttpTransport,
  headerText,
  isSuccess,
  type TransportAnswer,
  type TransportRequest,
} from '../http/transport.ts';
import { INSTALL, loadCredentials, orNotInstalledFor } from '../load.ts';

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write';

/** Gives the headers that say who asks; `renew` after a 401. */
interface Authorization {
  headers(): Promise<Readonly<Record<string, string>>>;
  renew(): void;
}

/**
 * `gs:`: Google Cloud Storage over its JSON API. Not over `@google-cloud/storage`, which ends the process when a
 * retried upload meets a 503 (googleapis/google-cloud-node 8670).
 */
export class GsBackend implements ObjectBackend {
  readonly deleteMax = 100;
  readonly #transport: HttpTransport;
  readonly #authorization: Authorization;
  readonly #clock: Clock;
  readonly #uploads: string;
  readonly #objects: string;

  constructor(
    transport: HttpTransport,
    authorization: Authorization,
    /** `base`: the path of the endpoint, usually `''`. */
    place: { readonly base: string; readonly bucket: string },
    clock: Clock,
  ) {
    this.#transport = transport;
    this.#authorization = authorization;
    this.#clock = clock;
    const bucket = encodeURIComponent(place.bucket);
    this.#uploads = `${place.base}/upload/storage/v1/b/${bucket}/o?uploadType=media&fields=md5Hash,size&name=`;
    this.#objects = `${place.base}/storage/v1/b/${bucket}/o`;
  }

  async put(name: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const call = { key: name, what: 'put' };
    const path = this.#uploads + encodeURIComponent(name);
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await this.#send(call, { method: 'POST', path, headers, body }, signal);
    const stored = this.#readJson(call, answer);
    // The original sends no checksum and this API takes none with a plain upload, but it tells what it has stored.
    const { md5Hash, size } = stored;
    if (md5Hash !== undefined && md5Hash !== md5(body)) throw corrupt(name, 'put', 'stored with another MD5');
    if (size !== undefined && Number(size) !== body.length)
      throw corrupt(name, 'put', `stored ${size} bytes`);
  }

  async get(name: string, signal: AbortSignal): Promise<Uint8Array> {
    const call = { key: name, what: 'get' };
    const path = `${this.#objects}/${encodeURIComponent(name)}?alt=media`;
    const answer = await this.#send(call, { method: 'GET', path }, signal);
    if (!isSuccess(answer.status)) throw this.#failure(call, answer);
    const { body } = answer;
    const expected = /(?:^|,)\s*md5=([A-Za-z0-9+/=]+)/.exec(headerText(answer, 'x-goog-hash') ?? '')?.[1];
    if (expected !== undefined && expected !== md5(body)) throw corrupt(name, 'get', 'its MD5 is another');
    return body;
  }

  async delete(names: readonly string[], signal: AbortSignal): Promise<void> {
    const queue = names.values();
    const deleteAll = async () => {
      for (const name of queue) {
        const call = { key: name, what: 'delete' };
        const path = `${this.#objects}/${encodeURIComponent(name)}`;
        const answer = await this.#send(call, { method: 'DELETE', path }, signal);
        if (!isSuccess(answer.status) && answer.status !== 404) throw this.#failure(call, answer);
      }
    };
    await Promise.all(Array.from({ length: Math.min(16, names.length) }, deleteAll));
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<ListPage> {
    const call = { key: query.start, what: 'list' };
    const wanted = new URLSearchParams({ prefix: query.start, maxResults: String(query.pageMax) });
    wanted.set('fields', query.folders ? 'prefixes,nextPageToken' : 'items(name,size,updated),nextPageToken');
    if (query.folders) wanted.set('delimiter', '/');
    if (typeof query.token === 'string') wanted.set('pageToken', query.token);
    const answer = await this.#send(call, { method: 'GET', path: `${this.#objects}?${wanted}` }, signal);
    const { items, prefixes, nextPageToken } = this.#readJson(call, answer);
    return {
      objects: query.folders ? [] : list(items).map((item) => objectInfo(call, item)),
      folders: query.folders
        ? list(prefixes).map((prefix) => String(prefix).slice(query.start.length, -1))
        : [],
      token: typeof nextPageToken === 'string' && nextPageToken !== '' ? nextPageToken : undefined,
    };
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /** Sends with the headers of the login; a refused login (a token taken back) is renewed once. */
  async #send(call: FailedCall, request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer> {
    const answer = await this.#sendOnce(call, request, signal);
    if (answer.status !== 401) return answer;
    this.#authorization.renew();
    return this.#sendOnce(call, request, signal);
  }

  async #sendOnce(
    call: FailedCall,
    request: TransportRequest,
    signal: AbortSignal,
  ): Promise<TransportAnswer> {
    let login: Readonly<Record<string, string>>;
    try {
      login = await this.#authorization.headers();
    } catch (cause) {
      throw failureOfLogin({ ...call, cause });
    }
    return this.#transport.send(call, { ...request, headers: { ...request.headers, ...login } }, signal);
  }

  /** The object that a successful answer is. */
  #readJson(call: FailedCall, answer: TransportAnswer): Readonly<Record<string, unknown>> {
    if (!isSuccess(answer.status)) throw this.#failure(call, answer);
    try {
      const parsed: unknown = JSON.parse(Buffer.from(answer.body.buffer).toString());
      if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>;
    } catch {
      // Told below: whatever it is, it is not what the API says.
    }
    throw corrupt(call.key, call.what, 'the answer is not a JSON object');
  }

  #failure(call: FailedCall, answer: TransportAnswer): ObjectStoreError {
    const failure = failureOfAnswer(call, answer, this.#clock.nowMs());
    if (answer.status !== 403 || !saysTooFast(answer)) return failure;
    return failure.with({ code: 'OBJECT_THROTTLED', retryable: true });
  }
}

/** Some limits are answered with 403, as if it were not allowed; the reason tells. */
function saysTooFast(answer: TransportAnswer): boolean {
  return /"reason"\s*:\s*"(?:userR|r)ateLimitExceeded"/.test(Buffer.from(answer.body.buffer).toString());
}

/** Reads the options of `gs:` and opens its backend. */
export async function openGsBackend(
  bucket: string,
  options: OptionReader,
  connection: ConnectionOptions,
  clock: Clock,
): Promise<GsBackend> {
  const key = serviceAccountKey(options);
  const endpoint = (
    options.text('endpoint', 'base_url') ??
    (typeof key?.gcs_base_url === 'string' ? key.gcs_base_url : 'https://storage.googleapis.com')
  ).replace(/\/+$/, '');
  checkEndpoint('google_endpoint', endpoint, connection.allowHttp);
  const anonymous = options.flag(false, 'skip_signature') || key?.disable_oauth === true;
  const authorization = anonymous ? ANONYMOUS : await login(options, key);
  const { origin, pathname } = new URL(endpoint);
  const transport = await HttpTransport.open('gs', origin, connection);
  return new GsBackend(transport, authorization, { base: pathname.replace(/\/$/, ''), bucket }, clock);
}

const ANONYMOUS: Authorization = { headers: async () => ({}), renew() {} };

async function login(
  options: OptionReader,
  key: Readonly<Record<string, unknown>> | undefined,
): Promise<Authorization> {
  const own = await loadCredentials(options);
  if (typeof own === 'function') return tokenFunction(own as () => Promise<string>);
  const { GoogleAuth } = await import('google-auth-library').catch(orNotInstalledFor('gs', INSTALL.gs));
  if (own !== undefined && !(typeof own === 'object' && own !== null && 'getRequestHeaders' in own)) {
    throw new IncorrectUsageError(
      'object store option credentials_module: for gs its function returns a client of google-auth-library, or a function that returns an access token',
    );
  }
  const file = options.text('service_account', 'service_account_path', 'application_credentials');
  const make = (): GoogleAuth =>
    new GoogleAuth({
      scopes: SCOPE,
      ...(own === undefined ? {} : { authClient: own as AnyAuthClient }),
      ...(key === undefined ? {} : { credentials: key }),
      ...(file === undefined || key !== undefined ? {} : { keyFilename: file }),
    });
  let auth = make();
  return {
    headers: async () => Object.fromEntries(await auth.getRequestHeaders()),
    renew() {
      auth = make();
    },
  };
}

/** Access tokens of the user's own function, which caches them as it likes. */
function tokenFunction(token: () => Promise<string>): Authorization {
  return { headers: async () => ({ authorization: `Bearer ${await token()}` }), renew() {} };
}

/** The JSON of `google_service_account_key`; the same object may say where an emulator is, as in the original. */
function serviceAccountKey(options: OptionReader): Readonly<Record<string, unknown>> | undefined {
  const text = options.text('service_account_key');
  if (text === undefined) return undefined;
  try {
    const key: unknown = JSON.parse(text);
    if (typeof key === 'object' && key !== null) return key as Record<string, unknown>;
  } catch {
    // The parser's message would show the key.
  }
  throw new IncorrectUsageError('object store option google_service_account_key: not the JSON of a key');
}

function objectInfo(call: FailedCall, item: unknown): ObjectInfo {
  const { name, size, updated } = (item ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') throw corrupt(call.key, call.what, 'an item of the list has no name');
  return { key: name, sizeBytes: Number(size), modifiedMs: Date.parse(String(updated)) };
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function md5(body: Uint8Array): string {
  return hash('md5', body, 'base64');
}
