import { networkInterfaces } from 'node:os';

/** An address of this machine that others may reach: IPv4 first; its loopback if it has no other. */
export function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const outer = all.filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0);
  return (outer.find(({ family }) => family === 'IPv4') ?? outer[0])?.address ?? '127.0.0.1';
}
