import { readdir, readFile } from 'node:fs/promises';

/** A file of the page, with what was compressed ahead. */
export interface PageFile {
  readonly contentType: string;
  readonly plain: Uint8Array;
  /** Compressed, where the build has done so. */
  readonly br?: Uint8Array | undefined;
  readonly gzip?: Uint8Array | undefined;
}

/** The page as it is served. */
export interface PageFiles {
  /** Its HTML; {@link BASE_PLACEHOLDER} stands for what comes before relative URLs, {@link NAME_PLACEHOLDER} and {@link VERSION_PLACEHOLDER} for the server's name and version, {@link QUEUE_PLACEHOLDER} for the queue whose address it is at. */
  readonly html: string;
  /** By names that hold a hash of the content. */
  readonly assets: ReadonlyMap<string, PageFile>;
}

/** Makes the page from its sources; `scripts/page-bundle.ts` has one. */
export interface PageBundler {
  bundlePage(): Promise<PageFiles>;
}

export const BASE_PLACEHOLDER = '%BASE%';
export const NAME_PLACEHOLDER = '%NAME%';
export const QUEUE_PLACEHOLDER = '%QUEUE%';
export const VERSION_PLACEHOLDER = '%VERSION%';
export const PAGE_HTML = 'index.html';

const CONTENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['js', 'text/javascript; charset=utf-8'],
  ['css', 'text/css; charset=utf-8'],
]);
const COMPRESSED = /\.(?:br|gz)$/;
/** In variables: no bundler of a user's is to follow them. */
const BUNDLER_OF_CHECKOUT = '../../../scripts/page-bundle.ts';
const FOLDER_OF_PACKAGE = '../../page/';

export function contentTypeOf(name: string): string {
  return CONTENT_TYPES.get(name.slice(name.lastIndexOf('.') + 1)) ?? 'application/octet-stream';
}

/**
 * The page's files: in a checkout made from the sources at the first call, in the package read from `dist/page/`.
 *
 * @returns null if they are not there, as in a bundle of a user's
 */
export async function loadPage(): Promise<PageFiles | null> {
  const here: string | undefined = import.meta.url;
  if (here?.endsWith('/src/server/page/page-files.ts')) {
    const { bundlePage } = (await import(BUNDLER_OF_CHECKOUT)) as PageBundler;
    return bundlePage();
  }
  return here?.endsWith('/dist/server/page/page-files.js')
    ? readPageFolder(new URL(FOLDER_OF_PACKAGE, here))
    : null;
}

/** Reads what the build has written. */
export async function readPageFolder(folder: URL): Promise<PageFiles> {
  const names = new Set(await readdir(new URL('assets/', folder)));
  const read = (name: string) => readFile(new URL(`assets/${name}`, folder));
  const assets = new Map<string, PageFile>();
  for (const name of names) {
    if (COMPRESSED.test(name)) continue;
    assets.set(name, {
      contentType: contentTypeOf(name),
      plain: await read(name),
      br: names.has(`${name}.br`) ? await read(`${name}.br`) : undefined,
      gzip: names.has(`${name}.gz`) ? await read(`${name}.gz`) : undefined,
    });
  }
  return { html: await readFile(new URL(PAGE_HTML, folder), 'utf8'), assets };
}
