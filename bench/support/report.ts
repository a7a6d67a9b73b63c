/** Results as a table and, with `--json`, as JSON. */
export type Row = Record<string, string | number | null>;

export function report(title: string, rows: readonly Row[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ title, node: process.version, rows }));
    return;
  }
  console.log(`\n${title}`);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => columns.map((column) => format(row[column] ?? null)));
  const widths = columns.map((column, i) => Math.max(column.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  console.log(line(columns));
  for (const row of cells) console.log(line(row));
}

function format(value: string | number | null): string {
  if (value === null) return '-';
  if (typeof value === 'string') return value;
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');
  return value.toPrecision(3).replace(/\.0+$/, '');
}

export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

export const MB = 1024 * 1024;
