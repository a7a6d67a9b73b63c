import http from 'node:http';

/**
 * The proxies that Node.js was told to heed, by `NODE_USE_ENV_PROXY=1`, `--use-env-proxy` or `http.setGlobalProxyFromEnv()`:
 * `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as it read them. Plain data, for threads, which are told less. null: none.
 */
export type Proxies = Readonly<Record<string, string>>;

const NAMES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY'];

/** Node.js keeps them with its global agent; agents of one's own must be given them. */
export function proxiesOfProgram(): Proxies | null {
  const proxyEnv = fieldOf(fieldOf(http.globalAgent, 'options'), 'proxyEnv');
  const given = NAMES.flatMap((name) => {
    const value = fieldOf(proxyEnv, name);
    return typeof value === 'string' && value !== '' ? [[name, value] as const] : [];
  });
  return given.length === 0 ? null : Object.fromEntries(given);
}

/** Not every agent has these fields: a program may have set one of its own. */
function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
