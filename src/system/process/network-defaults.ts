import dns from 'node:dns';
import net from 'node:net';
import tls from 'node:tls';

/**
 * What a program has set for all its connections, by calls or by flags. A thread of ours starts without the calls, and
 * some without the flags: it is given both as data.
 */
export interface NetworkDefaults {
  readonly resultOrder: 'ipv4first' | 'ipv6first' | 'verbatim';
  readonly autoSelectFamily: boolean;
  readonly autoSelectFamilyAttemptTimeoutMs: number;
  readonly tlsMinVersion: tls.SecureVersion;
  readonly tlsMaxVersion: tls.SecureVersion;
  readonly tlsCiphers: string;
  /** Certificates of the authorities that are trusted; null: those that every thread trusts. */
  readonly authorities: readonly string[] | null;
}

/** Those of the calling thread. `withAuthorities`: looking them up may take long where the system keeps them. */
export function networkDefaults(withAuthorities: boolean): NetworkDefaults {
  return {
    resultOrder: dns.getDefaultResultOrder(),
    autoSelectFamily: net.getDefaultAutoSelectFamily(),
    autoSelectFamilyAttemptTimeoutMs: net.getDefaultAutoSelectFamilyAttemptTimeout(),
    tlsMinVersion: tls.DEFAULT_MIN_VERSION,
    tlsMaxVersion: tls.DEFAULT_MAX_VERSION,
    tlsCiphers: tls.DEFAULT_CIPHERS,
    authorities: withAuthorities ? ownAuthorities() : null,
  };
}

/** Makes them those of the calling thread. */
export function setNetworkDefaults(defaults: NetworkDefaults): void {
  dns.setDefaultResultOrder(defaults.resultOrder);
  net.setDefaultAutoSelectFamily(defaults.autoSelectFamily);
  net.setDefaultAutoSelectFamilyAttemptTimeout(defaults.autoSelectFamilyAttemptTimeoutMs);
  tls.DEFAULT_MIN_VERSION = defaults.tlsMinVersion;
  tls.DEFAULT_MAX_VERSION = defaults.tlsMaxVersion;
  tls.DEFAULT_CIPHERS = defaults.tlsCiphers;
  const { authorities } = defaults;
  // Reading them takes up to 100 ms, and some of the program's flags hold for all threads.
  if (authorities === null || areSame(authorities, tls.getCACertificates('default'))) return;
  tls.setDefaultCACertificates(authorities);
}

function ownAuthorities(): readonly string[] | null {
  const trusted = tls.getCACertificates('default');
  return areSame(trusted, tls.getCACertificates('bundled')) ? null : trusted;
}

function areSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((each, index) => each === others[index]);
}
