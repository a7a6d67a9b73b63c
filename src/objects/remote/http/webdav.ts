/** What a WebDAV server says of one resource, in answer to PROPFIND. */
export interface DavResource {
  /** As the server wrote it: a path or a whole URL, percent-encoded. */
  readonly href: string;
  readonly isCollection: boolean;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** Asks for the three properties that a listing needs. */
export const PROPFIND_BODY =
  '<?xml version="1.0" encoding="utf-8"?>' +
  '<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>';

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/**
 * Reads a `multistatus`. Prefixes of namespaces are not resolved: the names that count are unique, whatever the
 * prefix, in every server's answers. Throws a SyntaxError for what is no multistatus.
 */
export function parseMultistatus(xml: string): DavResource[] {
  const body = /<(?:[\w.-]+:)?multistatus\b[^>]*?(?:\/>|>([\s\S]*)<\/(?:[\w.-]+:)?multistatus\s*>)/.exec(xml);
  if (body === null) throw new SyntaxError('no multistatus');
  return elements(body[1] ?? '', 'response').map((response) => {
    const href = elements(response, 'href')[0];
    if (href === undefined) throw new SyntaxError('a response without href');
    // Properties that the server does not have come in a propstat of their own, with status 404.
    const found = elements(response, 'propstat').filter((part) =>
      /\s2\d\d\b/.test(elements(part, 'status')[0] ?? ''),
    );
    const properties = found.join('');
    return {
      href: text(href),
      isCollection: /<(?:[\w.-]+:)?collection\b/.test(elements(properties, 'resourcetype')[0] ?? ''),
      sizeBytes: Number(text(elements(properties, 'getcontentlength')[0] ?? '0')) || 0,
      modifiedMs: Date.parse(text(elements(properties, 'getlastmodified')[0] ?? '')) || 0,
    };
  });
}

/** The contents of the elements of a name, not nested in each other. */
function elements(xml: string, name: string): string[] {
  const pattern = new RegExp(
    `<(?:[\\w.-]+:)?${name}(?:\\s[^>]*)?(?:/>|>([\\s\\S]*?)</(?:[\\w.-]+:)?${name}\\s*>)`,
    'g',
  );
  return Array.from(xml.matchAll(pattern), (match) => match[1] ?? '');
}

function text(xml: string): string {
  const cdata = /^\s*<!\[CDATA\[([\s\S]*?)\]\]>\s*$/.exec(xml);
  if (cdata !== null) return cdata[1] ?? '';
  return xml.trim().replace(/&(#x[0-9a-f]+|#[0-9]+|\w+);/gi, (whole, entity: string) => {
    if (!entity.startsWith('#')) return ENTITIES[entity] ?? whole;
    const point = /^#x/i.test(entity) ? Number.parseInt(entity.slice(2), 16) : Number(entity.slice(1));
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
