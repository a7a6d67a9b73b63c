/** What `bench/fairness.ts` found, as a table and as a picture for docs/strategies.md. */

/** Times as texts: `10.8 s`, `4.3 h`. */
export interface WaitingRow {
  readonly name: string;
  readonly strategy: string;
  readonly median: string;
  readonly worst: string;
  readonly large: string;
}

const UNITS = [
  ['s', 1_000],
  ['min', 60_000],
  ['h', 3_600_000],
] as const;

/** In the largest unit of which there are two, with one decimal. */
export function timeText(ms: number): string {
  const [unit, unitMs] = UNITS.findLast(([, each]) => ms >= 2 * each) ?? UNITS[0];
  return `${(ms / unitMs).toFixed(1)} ${unit}`;
}

function msOf(text: string): number {
  const [count, unit] = text.split(' ');
  const found = UNITS.find(([name]) => name === unit);
  if (found === undefined) throw new Error(`no time: ${text}`);
  return Number(count) * found[1];
}

const BEGIN = '<!-- made by npm run bench -- fairness --write -->';
const END = '<!-- until here -->';
const HEAD = ['strategy', 'text form', 'small ones: median', 'worst', 'the large one'];

export function tableOf(rows: readonly WaitingRow[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(HEAD),
    line(HEAD.map(() => '---')),
    ...rows.map(({ name, strategy, median, worst, large }) =>
      line([name, `\`${strategy}\``, median, worst, large]),
    ),
  ].join('\n');
}

/** The rows of the table in a document. */
export function rowsIn(document: string): WaitingRow[] {
  const [, table = ''] = splitAtTable(document);
  return table
    .trim()
    .split('\n')
    .slice(2)
    .map((line) => {
      const [name = '', strategy = '', median = '', worst = '', large = ''] = line
        .split('|')
        .slice(1)
        .map((cell) => cell.trim());
      return { name, strategy: strategy.replaceAll('`', ''), median, worst, large };
    });
}

/** The document with another table. */
export function withTable(document: string, rows: readonly WaitingRow[]): string {
  const [before, , after] = splitAtTable(document);
  return `${before}${BEGIN}\n${tableOf(rows)}\n${END}${after}`;
}

function splitAtTable(document: string): [string, string, string] {
  const from = document.indexOf(BEGIN);
  const to = document.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`there is no place for the table: ${BEGIN}`);
  return [document.slice(0, from), document.slice(from + BEGIN.length, to), document.slice(to + END.length)];
}

const WIDTH = 860;
const LEFT = 232;
const RIGHT = 36;
const TOP = 96;
const ROW = 34;
const TICKS = ['1 s', '10 s', '1 min', '10 min', '1 h', '10 h'];
const LONGEST_MS = 48 * 3_600_000;

/** From a second to two days, by powers. */
function xOf(text: string): string {
  const share = Math.log(msOf(text) / 1_000) / Math.log(LONGEST_MS / 1_000);
  return (LEFT + Math.max(share, 0) * (WIDTH - LEFT - RIGHT)).toFixed(1);
}

export function pictureOf(rows: readonly WaitingRow[]): string {
  const height = TOP + ROW * rows.length + 20;
  const bottom = height - 20;
  const ticks = TICKS.map((tick) => {
    const x = xOf(tick);
    return `<path class="tick" d="M${x} ${TOP - 8}V${bottom}"/><text class="quiet" x="${x}" y="${TOP - 16}" text-anchor="middle">${tick}</text>`;
  });
  const marks = rows.map(({ name, median, worst, large }, i) => {
    const y = TOP + ROW * (i + 0.5);
    return [
      `<text x="${LEFT - 16}" y="${y + 5}" text-anchor="end">${name}</text>`,
      `<path class="line" d="M${xOf(median)} ${y}H${xOf(worst)}"/>`,
      mark('worst', worst, y),
      mark('median', median, y),
      mark('large', large, y),
    ].join('\n');
  });
  const legend = (
    [
      ['median', 'small ones, median'],
      ['worst', 'small ones, worst'],
      ['large', 'the large one'],
    ] as const
  ).map(([kind, text], i) => {
    const x = LEFT + 170 * i;
    return `${shape(kind, x + 6, 50)}<text class="quiet" x="${x + 20}" y="55">${text}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>From insert to last result, by strategy: a hundred customers with ten chunks each, beside one with a million</title>
<style>
svg{--ground:#fff;--edge:#d0d7de;--text:#1f2328;--quiet:#656d76;--accent:#0969da;--tint:#ddf4ff}
@media (prefers-color-scheme:dark){svg{--ground:#0d1117;--edge:#30363d;--text:#e6edf3;--quiet:#9198a1;--accent:#58a6ff;--tint:#122b4a}}
text{font:13px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:var(--text)}
.name{font-size:16px;font-weight:600}
.quiet{fill:var(--quiet)}
.tick{stroke:var(--edge)}
.line{stroke:var(--accent);stroke-width:3}
.median{fill:var(--accent);stroke:var(--accent);stroke-width:2}
.worst{fill:var(--tint);stroke:var(--accent);stroke-width:2}
.large{fill:var(--quiet)}
</style>
<rect x=".5" y=".5" width="${WIDTH - 1}" height="${height - 1}" rx="8" style="fill:var(--ground);stroke:var(--edge)"/>
<text class="name" x="${LEFT}" y="28">From insert to last result</text>
${[...legend, ...ticks, ...marks].join('\n')}
</svg>
`;
}

type MarkKind = 'median' | 'worst' | 'large';

function mark(kind: MarkKind, text: string, y: number): string {
  return shape(kind, Number(xOf(text)), y);
}

function shape(kind: MarkKind, x: number, y: number): string {
  if (kind === 'large') return `<path class="large" d="M${x} ${y - 7}l7 7-7 7-7-7z"/>`;
  return `<circle class="${kind}" cx="${x}" cy="${y}" r="6"/>`;
}
