/**
 * How long small customers wait beside a large one: `node bench/fairness.ts`, by strategy, in simulated time, so the
 * same figures everywhere. `--only WORD` for the lines whose name contains the word; `--write` puts all into
 * docs/strategies.md, as a table and as the picture docs/images/fairness.svg; `--json` for a machine to read.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { report } from './support/report.ts';
import { pictureOf, withTable } from './support/waiting-report.ts';
import { COMPARED, waitingRow } from './support/waiting-times.ts';

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean' }, only: { type: 'string' }, write: { type: 'boolean' } },
});
if (flags.write && flags.only !== undefined) throw new Error('--write is for all lines, without --only');
const inRoot = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

const compared = Object.entries(COMPARED).filter(([name]) => name.includes(flags.only ?? ''));
const rows = compared.map(([name, strategy]) => waitingRow(name, strategy));
const title =
  'from insert to last result: one customer with 1 000 000 chunks, a hundred with 10 each, 64 consumers';
report(
  title,
  rows.map((row) => ({ ...row })),
  flags.json ?? false,
);
if (flags.write) {
  const document = inRoot('docs/strategies.md');
  writeFileSync(document, withTable(readFileSync(document, 'utf8'), rows));
  writeFileSync(inRoot('docs/images/fairness.svg'), pictureOf(rows));
}
