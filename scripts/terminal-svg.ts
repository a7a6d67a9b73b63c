/** The output of a program on a terminal as an SVG that plays it, on light and dark pages alike. */

/** What a program wrote at some time after its start. */
export interface TerminalOutput {
  readonly atMs: number;
  readonly text: string;
}

/** What the terminal shows from some time on. */
export interface Screen {
  readonly atMs: number;
  readonly lines: readonly string[];
}

export interface PictureOptions {
  /** In the title bar. */
  readonly title: string;
  /** The line above the output, as it was typed. */
  readonly prompt: string;
  readonly columns: number;
}

/** A screen is left out if it comes sooner than this after the one before, unless it is the last. */
const SCREEN_MS_MIN = 100;
const TYPED_MS = 800;
const REST_MS = 5_000;
const CELL_WIDTH = 7.83;
const LINE_HEIGHT = 19;
const PADDING = 18;
const TITLE_HEIGHT = 34;

const ESC = '\u001b';
const ERASE = `${ESC}[K`;
const TOKEN = new RegExp(`\\r|\\n|${ESC}\\[K|[^\\r\\n${ESC}]+`, 'g');

/** The screens that a terminal shows one after the other; it knows what our own programs write: text, CR, LF and `ESC [ K`. */
export function screensOf(outputs: readonly TerminalOutput[]): Screen[] {
  const lines: string[] = [''];
  let column = 0;
  const screens: Screen[] = [];
  for (const { atMs, text } of outputs) {
    for (const [part] of text.matchAll(TOKEN)) {
      const line = lines.at(-1) ?? '';
      if (part === '\r') column = 0;
      else if (part === '\n') lines.push('');
      else if (part === ERASE) lines[lines.length - 1] = line.slice(0, column);
      else {
        lines[lines.length - 1] = line.slice(0, column) + part + line.slice(column + part.length);
        column += part.length;
      }
    }
    screens.push({ atMs, lines: [...lines] });
  }
  return screens;
}

/** Each version of each line is a text of its own that an animation shows while it is on the screen. */
export function terminalSvg(screens: readonly Screen[], { title, prompt, columns }: PictureOptions): string {
  const shown = thinned(screens);
  const durationMs = TYPED_MS + (shown.at(-1)?.atMs ?? 0) + REST_MS;
  const height =
    TITLE_HEIGHT + 2 * PADDING + LINE_HEIGHT * (1 + (shown.at(-1)?.lines.filter(Boolean).length ?? 0));
  const width = Math.round(columns * CELL_WIDTH + 2 * PADDING);
  const texts = [textElement(prompt, 0, '')];
  const keyframes: string[] = [];
  for (const { line, row, fromMs, untilMs } of versions(shown)) {
    const percent = (ms: number) => `${((100 * (TYPED_MS + ms)) / durationMs).toFixed(2)}%`;
    const name = `v${keyframes.length}`;
    const end = untilMs === null ? '' : `${percent(untilMs)}{opacity:0}`;
    keyframes.push(`@keyframes ${name}{0%{opacity:0}${percent(fromMs)}{opacity:1}${end}}`);
    // Where nothing moves, the last screen is what one sees.
    texts.push(
      textElement(
        line,
        row + 1,
        ` class="${untilMs === null ? 'last' : 'passing'}" style="animation-name:${name}"`,
      ),
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(title)}</title>
<style>
svg{--ground:#fff;--bar:#f6f8fa;--edge:#d0d7de;--text:#1f2328;--quiet:#656d76;--accent:#0969da}
@media (prefers-color-scheme:dark){svg{--ground:#0d1117;--bar:#161b22;--edge:#30363d;--text:#e6edf3;--quiet:#8d96a0;--accent:#58a6ff}}
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--text);white-space:pre}
.title{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--quiet)}
.bar{fill:var(--accent)}
.passing{opacity:0}
@media (prefers-reduced-motion:no-preference){.last,.passing{animation:${durationMs.toFixed(0)}ms step-end infinite}}
${keyframes.join('\n')}
</style>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8" style="fill:var(--ground);stroke:var(--edge)"/>
<path d="M1 ${TITLE_HEIGHT}V8.500a7.500 7.500 0 0 1 7.500-7.500H${width - 8.5}a7.500 7.500 0 0 1 7.500 7.500V${TITLE_HEIGHT}z" style="fill:var(--bar)"/>
<path d="M1 ${TITLE_HEIGHT}H${width - 1}" style="stroke:var(--edge)"/>
<circle cx="20" cy="17" r="5" fill="#ff5f57"/><circle cx="38" cy="17" r="5" fill="#febc2e"/><circle cx="56" cy="17" r="5" fill="#28c840"/>
<text class="title" x="${width / 2}" y="22" text-anchor="middle">${escaped(title)}</text>
${texts.join('\n')}
</svg>
`;
}

function thinned(screens: readonly Screen[]): Screen[] {
  const kept: Screen[] = [];
  for (const screen of screens) {
    const isLast = screen === screens.at(-1);
    if (isLast || screen.atMs - (kept.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) >= SCREEN_MS_MIN)
      kept.push(screen);
  }
  return kept;
}

interface LineVersion {
  readonly line: string;
  readonly row: number;
  readonly fromMs: number;
  /** null: to the end. */
  readonly untilMs: number | null;
}

function* versions(screens: readonly Screen[]): Generator<LineVersion> {
  const rows = Math.max(0, ...screens.map(({ lines }) => lines.length));
  for (let row = 0; row < rows; row++) {
    let line = '';
    let fromMs = 0;
    for (const screen of screens) {
      const now = screen.lines[row] ?? '';
      if (now === line) continue;
      if (line !== '') yield { line, row, fromMs, untilMs: screen.atMs };
      [line, fromMs] = [now, screen.atMs];
    }
    if (line !== '') yield { line, row, fromMs, untilMs: null };
  }
}

function textElement(line: string, row: number, attributes: string): string {
  const y = TITLE_HEIGHT + PADDING + LINE_HEIGHT * row + 11;
  const text = escaped(line).replace(/#+/, (bar) => `<tspan class="bar">${bar}</tspan>`);
  return `<text x="${PADDING}" y="${y}"${attributes}>${text}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
