import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, type TestProcess } from './processes.ts';
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

/** What the programs of a document print, by file: the blocks of text that name the same file as a program. */
export function outputsOf(blocks: readonly CodeBlock[]): Map<string, string> {
  const outputs = new Map<string, string>();
  for (const { language, file, code } of blocks) {
    if (language === 'text' && file !== null) outputs.set(file, code);
  }
  return outputs;
}

/** All programs of a document in one folder, as a reader has them who pastes them into files. */
export async function programsFolder(
  blocks: readonly CodeBlock[],
): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await projectFolder();
  for (const { language, file, code } of blocks) {
    if (language === 'ts' && file !== null) await writeFile(join(folder.path, file), code);
  }
  return folder;
}

/** What a program prints that ends well and has nothing to say on stderr. */
export async function outputOf(program: TestProcess): Promise<string> {
  const { code, signal } = await program.exit();
  assert.equal(code ?? signal, 0, program.output('stderr'));
  assert.equal(program.output('stderr'), '');
  return program.output('stdout');
}
