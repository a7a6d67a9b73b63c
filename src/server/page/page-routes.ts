import { VERSION } from '../../model/version.ts';
import { CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import type { PAGE_ENDPOINTS } from '../http/endpoints.ts';
import type { Route } from '../http/submissions.ts';
import {
  BASE_PLACEHOLDER,
  loadPage,
  NAME_PLACEHOLDER,
  type PageFile,
  type PageFiles,
  QUEUE_PLACEHOLDER,
  VERSION_PLACEHOLDER,
} from './page-files.ts';

const CONTENT_TYPE_HTML = 'text/html; charset=utf-8';
/** What the page may do: load its own files, talk to its own queue, and nothing else. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const HEADERS = [
  ...['x-content-type-options', 'nosniff'],
  ...['referrer-policy', 'no-referrer'],
  ...['cross-origin-opener-policy', 'same-origin'],
  ...['cross-origin-resource-policy', 'same-origin'],
];
const HTML_HEADERS = [
  ...['cache-control', 'no-store'],
  ...['content-security-policy', CONTENT_SECURITY_POLICY],
  ...HEADERS,
];
const ASSET_HEADERS = [
  ...['cache-control', 'public, max-age=31536000, immutable'],
  ...['vary', 'accept-encoding'],
  ...HEADERS,
];

/** A proxy says so what it took off the path. It becomes part of the HTML, so that it may hold nothing else. */
const FORWARDED_PREFIX = /^(?:\/[\w.~-]{1,100}){1,10}\/?$/;

/**
 * `GET /` and `GET /assets/{asset}`: the page and its files, which are the same for everybody.
 *
 * @param name what people call the queue; may be empty
 */
export function pageRoutes(name: string): Readonly<Record<(typeof PAGE_ENDPOINTS)[number], Route>> {
  let page: Promise<PageFiles | null> | null = null;
  const files = () => {
    page ??= loadPage();
    // What could not be made is tried again with the next request.
    page.catch(() => (page = null));
    return page;
  };
  return {
    async page(exchange, { queue }) {
      const found = await files();
      if (found === null) {
        exchange.respond(501, 'the page is not part of a bundle: install the package', CONTENT_TYPE_TEXT);
        return;
      }
      const html = found.html
        .replaceAll(BASE_PLACEHOLDER, baseOf(exchange))
        .replace(VERSION_PLACEHOLDER, VERSION)
        .replace(QUEUE_PLACEHOLDER, queue)
        .replace(NAME_PLACEHOLDER, () => escaped(name));
      exchange.respond(200, html, CONTENT_TYPE_HTML, HTML_HEADERS);
    },
    async asset(exchange, { segment }) {
      const file = (await files())?.assets.get(segment);
      if (file === undefined) exchange.respond(404, '', null);
      else respondFile(exchange, file);
    },
  };
}

/** For an attribute in HTML. */
function escaped(text: string): string {
  return text.replace(/[&"<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * What comes before the page's relative URLs. Nothing, as a rule: they are relative to the page. A proxy that takes a
 * prefix off passes on `/` for the prefix with and without a slash at its end, so that the prefix itself is needed then.
 */
function baseOf(exchange: HttpExchange): string {
  const prefix = exchange.path === '/' ? exchange.header('x-forwarded-prefix') : undefined;
  return prefix === undefined || !FORWARDED_PREFIX.test(prefix) ? '' : `${prefix.replace(/\/$/, '')}/`;
}

function respondFile(exchange: HttpExchange, { contentType, plain, br, gzip }: PageFile): void {
  const accepted = exchange.header('accept-encoding') ?? '';
  const respond = (encoding: string, bytes: Uint8Array) =>
    exchange.respond(200, bytes, contentType, ['content-encoding', encoding, ...ASSET_HEADERS]);
  if (br !== undefined && /\bbr\b/.test(accepted)) respond('br', br);
  else if (gzip !== undefined && /\bgzip\b/.test(accepted)) respond('gzip', gzip);
  else exchange.respond(200, plain, contentType, ASSET_HEADERS);
}
