import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './processes.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A fenced block of a document. */
export interface CodeBlock {
  /** Path of the document from the repository's root. */
  readonly document: string;
  /** Line of the document on which the code begins, from 1. */
  readonly line: number;
  readonly language: string;
  /** The name of the file that the block is, of a block that says so: ```` ```ts file=name.ts ````. */
  readonly file: string | null;
  readonly code: string;
  /** What an HTML comment `<!-- types: ... -->` right before the block declares for it, for a block that is no whole program. */
  readonly declarations: string;
}

const BLOCK = /(?:<!-- types:\s*([\s\S]*?)-->\s*)?^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm;

export async function codeBlocks(document: string): Promise<CodeBlock[]> {
  const text = await readFile(join(ROOT, document), 'utf8');
  return [...text.matchAll(BLOCK)].map((match) => {
    const [whole, declarations = '', language = '', info = '', code = ''] = match;
    const codeStart = match.index + whole.lastIndexOf(code);
    return {
      document,
      line: text.slice(0, codeStart).split('\n').length,
      language,
      file: /\bfile=(\S+)/.exec(info)?.[1] ?? null,
      code,
      declarations,
    };
  });
}

/** An empty folder in which `import 'opsqueue'` means this checkout, as in a project that has installed it. */
export async function projectFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await temporaryFolder();
  await mkdir(join(folder.path, 'node_modules'));
  await symlink(ROOT, join(folder.path, 'node_modules/opsqueue'), 'dir');
  await writeFile(join(folder.path, 'package.json'), JSON.stringify({ type: 'module' }));
  return folder;
}
