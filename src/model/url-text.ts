/**
 * The text of a URL that is given as text or as a `URL`; other values come back as they are. By its `href`: the `URL`
 * of another realm (a test runner's, a vm context's) is none of ours.
 */
export function urlText<T>(url: T | URL): Exclude<T, URL> | string {
  const hasHref = typeof url === 'object' && url !== null && 'href' in url && typeof url.href === 'string';
  return hasHref ? String((url as URL).href) : (url as Exclude<T, URL>);
}
