import type { IncomingMessage } from 'node:http';

/**
 * A request to upgrade as it goes over the wire, with what has come after it: for another place, to which the rest of the
 * connection is passed on.
 *
 * @param more further headers: name, value, ...
 */
export function upgradeRequestBytes(
  { method, url, rawHeaders }: Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders'>,
  more: readonly string[],
  after: Uint8Array,
): Uint8Array {
  const headers = [...rawHeaders, ...more];
  let text = `${method} ${url} HTTP/1.1\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), after]);
}
