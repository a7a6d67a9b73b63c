/**
 * What may import what. The sources are read as text: `import`, `export ... from`, `import()`, type-only ones
 * included, and `new URL('./x.ts', import.meta.url)`, with which worker files are named.
 */
import { posix } from 'node:path';

/** A file's path from the root of the repository, and its text. */
export type Sources = ReadonlyMap<string, string>;

export interface Import {
  readonly from: string;
  /** A path from the root for a relative import, else the specifier. */
  readonly to: string;
  /** It names the entry of a worker: another program, so it makes no cycle. */
  readonly isWorker: boolean;
}

/** Folders below src/, each with the other ones that it may import. */
export const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  model: [],
  system: ['model'],
  protocol: ['model'],
  scheduler: ['model', 'system'],
  store: ['model', 'system'],
  queue: ['model', 'system', 'scheduler', 'store'],
  node: ['model', 'system', 'store'],
  objects: ['model', 'system'],
  net: ['model', 'system', 'protocol'],
  contract: ['model', 'protocol', 'objects'],
  views: ['model', 'system', 'protocol', 'scheduler', 'store', 'queue'],
  server: ['model', 'system', 'protocol', 'scheduler', 'store', 'queue', 'node', 'views', 'net'],
  producer: ['model', 'contract', 'system', 'protocol', 'net', 'objects'],
  consumer: ['model', 'contract', 'system', 'protocol', 'net', 'objects'],
  cli: ['model', 'system', 'protocol', 'store', 'server', 'producer', 'consumer'],
};

const PATTERNS = [
  /^\s*(?:import|export)\s[^'";]*?from\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
];
const WORKER = /new URL\(\s*['"`](\.[^'"`]+)['"`]\s*,\s*import\.meta\.url/g;

/** Every import of the sources. */
export function importsOf(sources: Sources): Import[] {
  const found: Import[] = [];
  for (const [from, text] of sources) {
    const code = withoutComments(text);
    const add = (specifier: string, isWorker: boolean) =>
      found.push({ from, to: resolve(from, specifier), isWorker });
    for (const pattern of PATTERNS) for (const match of code.matchAll(pattern)) add(match[1]!, false);
    for (const match of code.matchAll(WORKER)) {
      const specifier = match[1]!.replace(/\$\{[^}]*\}$/, 'ts');
      if (specifier.endsWith('.ts')) add(specifier, true);
    }
  }
  return found;
}

/** Imports that go against the architecture's directions, as sentences. */
export function wrongDirections(imports: readonly Import[]): string[] {
  const wrong: string[] = [];
  for (const { from, to } of imports) {
    if (!to.startsWith('src/')) {
      if (to.startsWith('.') || /^(test|bench|examples|scripts|page)\//.test(to))
        wrong.push(`${from} leaves src/: ${to}`);
      continue;
    }
    const [source, target] = [folderOf(from), folderOf(to)];
    if (source === target) continue;
    // The package's own index is what users import; it only lists.
    if (from === 'src/index.ts' && /^src\/(producer|consumer|server)\/index\.ts$/.test(to)) continue;
    if (target === 'system' && to === 'src/system/entry/node-version.ts') continue;
    if (!ALLOWED[source]?.includes(target)) wrong.push(`${from} must not import ${to}`);
    else if (source === 'cli' && !isOpenToCommand(target, to)) {
      wrong.push(`${from} must import ${target}/index.ts, not ${to}`);
    }
  }
  return wrong;
}

/** The command is made of what users of the package have, and of the table that its flags come from. */
function isOpenToCommand(folder: string, path: string): boolean {
  // Of the protocol, how answers of /api/v1 look.
  if (folder === 'protocol') return path.startsWith('src/protocol/api/');
  const isLibrary = folder === 'server' || folder === 'producer' || folder === 'consumer';
  return !isLibrary || posix.basename(path) === 'index.ts' || path === 'src/server/settings.ts';
}

/** Relative imports of files that are not there. */
export function missingFiles(imports: readonly Import[], sources: Sources): string[] {
  return imports
    .filter(({ to }) => to.startsWith('src/') && !sources.has(to))
    .map(({ from, to }) => `${from} imports ${to}, which does not exist`);
}

/** Import cycles, each as a path that comes back to its first file; workers are programs of their own. */
export function cycles(imports: readonly Import[]): string[] {
  const edges = new Map<string, string[]>();
  for (const { from, to, isWorker } of imports) {
    if (isWorker) continue;
    const targets = edges.get(from) ?? [];
    targets.push(to);
    edges.set(from, targets);
  }
  const found: string[] = [];
  const finished = new Set<string>();
  const path: string[] = [];
  const visit = (file: string) => {
    if (finished.has(file)) return;
    const start = path.indexOf(file);
    if (start !== -1) {
      found.push([...path.slice(start), file].join(' -> '));
      return;
    }
    path.push(file);
    for (const target of edges.get(file) ?? []) visit(target);
    path.pop();
    finished.add(file);
  };
  for (const file of edges.keys()) visit(file);
  return found;
}

/** Code without its comments: what is written in prose is no import. Strings are kept. */
export function withoutComments(text: string): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|(['"`])(?:\\[\s\S]|(?!\1)[^\\])*\1/g;
  return text.replace(token, (match) => (match.startsWith('/') ? ' ' : match));
}

function folderOf(file: string): string {
  const parts = file.split('/');
  return parts.length > 2 ? parts[1]! : '';
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier;
}
