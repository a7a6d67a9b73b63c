import type { SqlValue } from './session.ts';

export type ColumnType = 'bigint' | 'integer' | 'double precision' | 'text' | 'bytea';
export type Cell = string | number | bigint | Uint8Array | null;

/** Columns by name, in their order. */
export type Columns = Readonly<Record<string, ColumnType>>;

/** The values of a statement, and what stands for them in its text. */
export class Parameters {
  readonly values: SqlValue[] = [];

  add(value: SqlValue, type: string): string {
    return `$${this.values.push(value)}::${type}`;
  }

  texts(values: readonly string[]): string {
    return this.add(values, 'text[]');
  }

  integers(values: readonly (number | bigint | null)[]): string {
    return this.add(arrayOf(values), 'bigint[]');
  }

  /**
   * Rows as something to select from: an array for each column. Bytes of all rows travel as one value, which is cut up
   * there: an array would carry them as hexadecimal text.
   */
  table(columns: Columns, rows: readonly (readonly Cell[])[]): string {
    const arrays: string[] = [];
    const names: string[] = [];
    const selected: string[] = [];
    for (const [index, [name, type]] of Object.entries(columns).entries()) {
      const cells = rows.map((row) => row[index] ?? null);
      if (type !== 'bytea') {
        names.push(name);
        selected.push(name);
        arrays.push(
          type === 'text'
            ? this.add(cells as (string | null)[], 'text[]')
            : this.add(arrayOf(cells), `${type}[]`),
        );
        continue;
      }
      const { bytes, starts, lengths } = packed(cells as (Uint8Array | null)[]);
      names.push(`${name}_start`, `${name}_length`);
      selected.push(`substr(${this.add(bytes, 'bytea')}, ${name}_start, ${name}_length) AS ${name}`);
      arrays.push(this.add(arrayOf(starts), 'integer[]'), this.add(arrayOf(lengths), 'integer[]'));
    }
    return `(SELECT ${selected.join(', ')} FROM unnest(${arrays.join(', ')}) AS u (${names.join(', ')}))`;
  }
}

/** An array of numbers in PostgreSQL's notation. */
function arrayOf(cells: readonly Cell[]): string {
  return `{${cells.map((cell) => cell ?? 'NULL').join()}}`;
}

function packed(cells: readonly (Uint8Array | null)[]) {
  const starts: number[] = [];
  let end = 1;
  for (const cell of cells) {
    starts.push(end);
    end += cell?.length ?? 0;
  }
  const present = cells.filter((cell) => cell !== null);
  return { bytes: Buffer.concat(present), starts, lengths: cells.map((cell) => cell?.length ?? null) };
}
