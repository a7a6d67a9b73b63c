/**
 * A bundler that makes an ES module of CommonJS packages (ws, prom-client) leaves their `require('events')` as it is,
 * and an ES module has no `require`. In such a bundle there is one for Node's own modules while ours are loaded, that is
 * until `bundle-end.ts`.
 */
const IN_PLACE = /\/system\/entry\/bundle-begin\.[jt]s$/;
const url: string | undefined = import.meta.url;

/** What these modules add to the global object, and nothing else does. */
export const shim = { isOurs: false };

if ((url === undefined || !IN_PLACE.test(new URL(url).pathname)) && !('require' in globalThis)) {
  shim.isOurs = true;
  const require = (name: string): object => {
    const found = process.getBuiltinModule(name);
    if (found !== undefined) return found;
    throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' });
  };
  Object.defineProperty(globalThis, 'require', { value: require, configurable: true, writable: true });
}
