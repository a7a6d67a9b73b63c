import { IncorrectUsageError } from '../model/errors.ts';
import { encodeName } from './keys.ts';

/** What an object store URL means. The rules are those of the original opsqueue: see docs/object-stores.md. */
export type ObjectStoreLocation = LocationBase &
  (
    | { readonly kind: 'file' }
    | { readonly kind: 'memory' }
    | {
        readonly kind: 's3';
        readonly bucket: string;
        /** null: from the options or the environment. */
        readonly region: string | null;
        readonly endpoint: string | null;
        readonly virtualHosted: boolean;
      }
    | { readonly kind: 'gs'; readonly bucket: string }
    | {
        readonly kind: 'az';
        /** null: from the options. */
        readonly account: string | null;
        readonly container: string;
        readonly fabric: boolean;
      }
    | {
        readonly kind: 'http';
        readonly origin: string;
        readonly username: string;
        readonly password: string;
      }
  );

interface LocationBase {
  /** The URL without credentials, query and fragment: for logs and errors. */
  readonly url: string;
  /** The base path, percent-decoded, without slashes at its ends. */
  readonly base: string;
  /** The base path as it stands in front of every object's name. */
  readonly baseName: string;
}

/**
 * Reads an object store URL.
 *
 * @throws IncorrectUsageError that names the URL and what is wrong with it
 */
export function parseObjectStoreUrl(text: string): ObjectStoreLocation {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // Node's error is no cause: it holds the text, credentials included.
    const hint = /^[./~\w-]/.test(text) && !text.includes(':') ? '; for a folder write file:///path' : '';
    throw refused(withoutCredentials(text), `it is not a URL${hint}`);
  }
  const shown = withoutSecrets(url);
  switch (url.protocol) {
    case 'file:':
      if (!/^\s*file:\//i.test(text)) {
        throw refused(
          shown,
          'a file: URL is absolute; write file:///path, or give pathToFileURL(path) of node:url',
        );
      }
      if (url.host !== '') throw refused(shown, `a file: URL names no other host (it says ${url.host})`);
      return { kind: 'file', ...location(shown, url.pathname) };
    case 'memory:':
      if (url.host !== '') throw refused(shown, 'a memory: URL has no host; write memory:///name');
      if (!url.pathname.startsWith('/')) throw refused(shown, 'write memory:///name');
      return { kind: 'memory', ...location(shown, url.pathname) };
    case 's3:':
    case 's3a:':
      return {
        kind: 's3',
        bucket: hostname(url, shown, 'bucket'),
        region: null,
        endpoint: null,
        virtualHosted: false,
        ...location(shown, url.pathname),
      };
    case 'gs:':
      return { kind: 'gs', bucket: hostname(url, shown, 'bucket'), ...location(shown, url.pathname) };
    case 'az:':
    case 'abfs:':
    case 'abfss:':
      return url.username === '' ? azureContainer(url, shown) : azureWithAccount(url, shown);
    case 'adl:':
    case 'azure:':
      return azureContainer(url, shown);
    case 'https:':
      return https(url, shown);
    case 'http:':
      return http(url, shown);
    default:
      throw refused(
        shown,
        `its scheme is ${url.protocol.slice(0, -1)}, known are file, memory, s3, s3a, gs, az, azure, abfs, abfss, adl, http, https`,
      );
  }
}

/** Whether a store of this URL may be opened in another thread: all but `memory:`. */
export function isThreadSafeUrl(url: string): boolean {
  return parseObjectStoreUrl(url).kind !== 'memory';
}

/** Hides user name and password of what may be a URL, or was meant to be one: then all that may belong to them. */
export function withoutCredentials(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.host === '') return text.replace(/^([^/?#@]*:\/\/)?.*@/s, '$1');
  url.username = '';
  url.password = '';
  return url.href;
}

function https(url: URL, shown: string): ObjectStoreLocation {
  const host = url.hostname;
  if (/(?:dfs|blob)\.(?:core\.windows\.net|fabric\.microsoft\.com)$/.test(host)) {
    const match = /^([^.]+)\.(?:dfs|blob)\.core\.windows\.net$/.exec(host);
    const fabric = /^(.+)\.(?:dfs|blob)\.fabric\.microsoft\.com$/.exec(host);
    const account = match?.[1] ?? fabric?.[1];
    if (account === undefined) throw refused(shown, 'an Azure host is ACCOUNT.blob.core.windows.net');
    const { first, rest } = firstSegment(url);
    const container = azureName(first, shown);
    return { kind: 'az', account, container, fabric: fabric !== null, ...location(shown, rest) };
  }
  if (host.endsWith('amazonaws.com') || host.endsWith('r2.cloudflarestorage.com')) return s3Host(url, shown);
  return http(url, shown);
}

/**
 * The `https://` forms of S3. The original takes a bucket whose name begins with `s3` for part of the path
 * (`https://s3data.s3.REGION.amazonaws.com/a` loses its `a`): a bug, not copied.
 */
function s3Host(url: URL, shown: string): ObjectStoreLocation {
  const host = url.hostname;
  const { first, rest } = firstSegment(url);
  const r2 = /^[^.]+\.r2\.cloudflarestorage\.com$/.test(host);
  const pathStyle = /^s3\.(?:dualstack\.)?([^.]+)\.amazonaws\.com$/.exec(host);
  if (r2 || pathStyle !== null) {
    if (first === '') throw refused(shown, 'the bucket is missing');
    return {
      kind: 's3',
      bucket: first,
      region: r2 ? 'auto' : (pathStyle?.[1] ?? null),
      endpoint: r2 ? `https://${host}` : null,
      virtualHosted: false,
      ...location(shown, rest),
    };
  }
  const virtual = /^([^.]+)\.s3\.(?:(?:dualstack\.)?([^.]+)\.)?amazonaws\.com$/.exec(host);
  if (virtual === null) {
    throw refused(
      shown,
      'known are s3.REGION.amazonaws.com/BUCKET, BUCKET.s3.REGION.amazonaws.com and ACCOUNT.r2.cloudflarestorage.com/BUCKET',
    );
  }
  return {
    kind: 's3',
    bucket: virtual[1] ?? '',
    region: virtual[2] ?? null,
    endpoint: null,
    virtualHosted: true,
    ...location(shown, url.pathname),
  };
}

function http(url: URL, shown: string): ObjectStoreLocation {
  return {
    kind: 'http',
    origin: url.origin,
    username: decodePercent(url.username, shown),
    password: decodePercent(url.password, shown),
    ...location(shown, url.pathname),
  };
}

function azureContainer(url: URL, shown: string): ObjectStoreLocation {
  const container = azureName(hostname(url, shown, 'container'), shown);
  return { kind: 'az', account: null, container, fabric: false, ...location(shown, url.pathname) };
}

function azureWithAccount(url: URL, shown: string): ObjectStoreLocation {
  const match = /^([^.]+)\.(?:dfs|blob)\.core\.windows\.net$/.exec(url.hostname);
  const fabric = /^(.+)\.(?:dfs|blob)\.fabric\.microsoft\.com$/.exec(url.hostname);
  const account = match?.[1] ?? fabric?.[1];
  if (account === undefined) {
    throw refused(shown, 'with an account it is abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/path');
  }
  const container = azureName(decodePercent(url.username, shown), shown);
  return { kind: 'az', account, container, fabric: fabric !== null, ...location(shown, url.pathname) };
}

function azureName(name: string, shown: string): string {
  if (name === '') throw refused(shown, 'the container is missing');
  if (name.includes('.')) throw refused(shown, `a container name has no dots (it says ${name})`);
  return name;
}

function hostname(url: URL, shown: string, what: string): string {
  if (url.hostname === '') throw refused(shown, `the ${what} is missing`);
  return url.hostname;
}

function firstSegment(url: URL): { first: string; rest: string } {
  const path = url.pathname.slice(1);
  const slash = path.indexOf('/');
  return slash === -1
    ? { first: path, rest: '' }
    : { first: path.slice(0, slash), rest: path.slice(slash + 1) };
}

function location(shown: string, pathname: string): LocationBase {
  const base = decodePercent(pathname, shown).replace(/^\//, '').replace(/\/$/, '');
  for (const segment of base === '' ? [] : base.split('/')) {
    if (segment === '') throw refused(shown, 'its path has an empty segment');
    if (segment === '.' || segment === '..') throw refused(shown, `its path has a segment ${segment}`);
    for (let i = 0; i < segment.length; i++) {
      const unit = segment.charCodeAt(i);
      if (unit < 0x20 || unit === 0x7f) throw refused(shown, 'its path has a control character');
    }
  }
  return { url: shown, base, baseName: encodeName(base) };
}

/** Decodes percent-escapes once; malformed ones stay as they are. */
function decodePercent(text: string, shown: string): string {
  if (!text.includes('%')) return text;
  const encoded = Buffer.from(text, 'utf8');
  const decoded = Buffer.allocUnsafe(encoded.length);
  let length = 0;
  for (let i = 0; i < encoded.length; i++) {
    const hex = encoded[i] === 0x25 ? encoded.toString('latin1', i + 1, i + 3) : '';
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      decoded[length++] = Number.parseInt(hex, 16);
      i += 2;
    } else {
      decoded[length++] = encoded[i]!;
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(decoded.subarray(0, length));
  } catch (cause) {
    throw refused(shown, 'its percent-escapes are not UTF-8', cause);
  }
}

function withoutSecrets(url: URL): string {
  const bare = new URL(url);
  bare.search = '';
  bare.hash = '';
  // abfss://CONTAINER@ACCOUNT...: there the user name is no secret.
  bare.password = '';
  if (!/^(?:az|abfs|abfss):$/.test(url.protocol)) bare.username = '';
  // `name:password@host/path`: to the parser the name is a scheme.
  return bare.pathname.startsWith('/') ? bare.href : withoutCredentials(bare.href);
}

function refused(shown: string, why: string, cause?: unknown): IncorrectUsageError {
  return new IncorrectUsageError(`object store URL "${shown}": ${why}`, cause === undefined ? {} : { cause });
}
