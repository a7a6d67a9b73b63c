/**
 * Makes the page of `page/`: for the package (`npm run build` writes it below dist/page/), and in a checkout for the queue,
 * at the first request.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { contentTypeOf, PAGE_HTML, type PageFile, type PageFiles } from '../src/server/page/page-files.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Packages that are part of the page, whose licences come with it. */
const PACKAGES = ['preact', 'uplot'];

export async function bundlePage(): Promise<PageFiles> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { page: 'page/main.tsx' },
    outdir: 'out',
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    tsconfig: 'page/tsconfig.json',
    define: { 'process.env.NODE_ENV': '"production"', Intl: 'PlainIntl' },
    inject: ['page/lib/plain-intl.ts'],
    logLevel: 'warning',
  });
  const assets = new Map<string, PageFile>();
  const add = (kind: 'js' | 'css') => {
    const plain = outputFiles.find(({ path }) => path.endsWith(`.${kind}`))?.contents;
    if (plain === undefined) throw new Error(`the page has no ${kind}`);
    const name = `page-${createHash('sha256').update(plain).digest('hex').slice(0, 16)}.${kind}`;
    assets.set(name, { contentType: contentTypeOf(name), plain });
    return name;
  };
  const html = readFileSync(join(root, 'page', PAGE_HTML), 'utf8')
    .replace('%SCRIPT%', add('js'))
    .replace('%STYLE%', add('css'));
  return { html, assets };
}

/** Writes the page as the package has it, compressed ahead. */
export async function writePage(folder: string): Promise<void> {
  const { html, assets } = await bundlePage();
  mkdirSync(join(folder, 'assets'), { recursive: true });
  writeFileSync(join(folder, PAGE_HTML), html);
  for (const [name, { plain }] of assets) {
    const file = join(folder, 'assets', name);
    writeFileSync(file, plain);
    const params = { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
    writeFileSync(`${file}.br`, brotliCompressSync(plain, { params }));
    writeFileSync(`${file}.gz`, gzipSync(plain, { level: 9 }));
  }
  const licenses = PACKAGES.map(
    (name) => `${name}\n\n${readFileSync(join(root, 'node_modules', name, 'LICENSE'), 'utf8')}`,
  );
  writeFileSync(join(folder, 'licenses.txt'), licenses.join('\n\n'));
}
