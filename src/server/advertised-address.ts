import type { HttpAddress } from '../net/http/server.ts';
import { ownAddress } from '../system/process/own-address.ts';

const ALL = new Set(['0.0.0.0', '::']);

/**
 * Where other nodes reach this one, as `host:port`: what `--advertise` says; else the first address that it listens on, or
 * one of this machine if it listens on all of them.
 */
export function advertisedAddress(given: string | undefined, addresses: readonly HttpAddress[]): string {
  if (given !== undefined) return given;
  const [first] = addresses;
  if (first === undefined) return '';
  const host = ALL.has(first.host) ? ownAddress() : first.host;
  return `${host.includes(':') ? `[${host}]` : host}:${first.port}`;
}
