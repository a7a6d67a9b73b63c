/**
 * `npm run bench`: all benchmarks, one after the other. `npm run bench -- NAME [FLAGS]`: one of them, with its flags.
 * `npm run bench -- --list` says which there are.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(here)
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
  .map((file) => file.slice(0, -3));

const [name, ...flags] = process.argv.slice(2);
if (
  name === '--list' ||
  name === '--help' ||
  flags.includes('--help') ||
  (name !== undefined && !names.includes(name))
) {
  console.log('usage: npm run bench -- [NAME [FLAGS]]; a name is one of');
  for (const each of names) console.log(`  ${each.padEnd(18)}${about(each)}`);
  console.log('FLAGS stand in the comment at the top of bench/NAME.ts');
  process.exit(name?.startsWith('--') ? 0 : 2);
}

for (const each of name === undefined ? names : [name]) {
  if (name === undefined) console.log(`\n# ${each}: ${about(each)}`);
  const { status } = spawnSync(
    process.execPath,
    ['--conditions=opsqueue-source', '--expose-gc', `${here}${each}.ts`, ...flags],
    { stdio: 'inherit' },
  );
  if (status !== 0) process.exit(status ?? 1);
}

/** The first sentence of the comment at the top of a benchmark. */
function about(each: string): string {
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(readFileSync(`${here}${each}.ts`, 'utf8'))?.[1] ?? '';
  const text = comment.replaceAll(/\s*\n\s*\*?\s*/g, ' ').trim();
  return /^.*?[.?](?= |$)/.exec(text)?.[0] ?? text;
}
