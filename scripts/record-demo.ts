/**
 * `node scripts/record-demo.ts`: runs `npm run demo` on a terminal, and writes what it shows, with its timing, to
 * docs/images/demo.svg. Needs `script` of util-linux. The checkout's path is shown as `~/opsqueue`, and the two lines in
 * which npm names the command are left out.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Screen, screensOf, type TerminalOutput, terminalSvg } from './terminal-svg.ts';

const COLUMNS = 92;
const PLAYING_MS_MAX = 12_000;
const root = fileURLToPath(new URL('..', import.meta.url));

const screens = screensOf(await record('npm run --silent demo'));
const recordedMs = screens.at(-1)?.atMs ?? 0;
const speed = Math.max(1, Math.ceil(recordedMs / PLAYING_MS_MAX));
const title = speed === 1 ? 'npm run demo' : `npm run demo (replayed ${speed} times as fast)`;
const shown = screens.map(({ atMs, lines }): Screen => ({ atMs: atMs / speed, lines }));
const svg = terminalSvg(shown, { title, prompt: '~/opsqueue $ npm run demo', columns: COLUMNS });
writeFileSync(join(root, 'docs/images/demo.svg'), svg);
console.log(
  `docs/images/demo.svg: ${shown.length} screens, ${(recordedMs / 1000).toFixed(1)} s, ${svg.length} bytes`,
);

/** What a command writes to a terminal of `COLUMNS`, and when. */
async function record(command: string): Promise<TerminalOutput[]> {
  const child = spawn('script', ['-qec', `stty cols ${COLUMNS} rows 24; ${command}`, '/dev/null'], {
    cwd: root,
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const startMs = performance.now();
  const outputs: TerminalOutput[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    outputs.push({ atMs: performance.now() - startMs, text });
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject).on('close', resolve);
  const code = await promise;
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  const checkout = root.replace(/\/$/, '');
  return outputs.map(({ atMs, text }) => ({ atMs, text: text.replaceAll(checkout, '~/opsqueue') }));
}
