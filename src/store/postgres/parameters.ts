import type { SqlValue } from './session.ts';

export type ColumnType = 'bigint' | 'integer' | 'double precision' | 'text' | 'bytea';
export type Cell = string | number | bigint | Uint8Array | null;

/** Columns by name, in their order. */
export type Columns = Readonly<Record<string, ColumnType>>;

const NONE: ReadonlySet<string> = new Set();

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
   *
   * Arrays are unnested in a select list: in FROM, each would be written to a temporary store first, which for a few rows takes
   * longer than the rest.
   *
   * @param leftOut columns that it is not to have
   */
  table(columns: Columns, rows: readonly (readonly Cell[])[], leftOut: ReadonlySet<string> = NONE): string {
    const unnested: string[] = [];
    const selected: string[] = [];
    const unnest = (array: string, name: string) => unnested.push(`unnest(${array}) AS ${name}`);
    for (const [index, [name, type]] of Object.entries(columns).entries()) {
      if (leftOut.has(name)) continue;
      const cells = rows.map((row) => row[index] ?? null);
      if (type === 'bytea') {
        const { bytes, starts, lengths } = packed(cells as (Uint8Array | null)[]);
        selected.push(`substr(${this.add(bytes, 'bytea')}, ${name}_start, ${name}_length) AS ${name}`);
        unnest(this.add(arrayOf(starts), 'integer[]'), `${name}_start`);
        unnest(this.add(arrayOf(lengths), 'integer[]'), `${name}_length`);
        continue;
      }
      selected.push(name);
      const array = type === 'text' ? (cells as (string | null)[]) : arrayOf(cells);
      unnest(this.add(array, `${type}[]`), name);
    }
    return `(SELECT ${selected.join(', ')} FROM (SELECT ${unnested.join(', ')}) AS u)`;
  }
}

/** Those columns of which no row has anything, as far as all of their group are. */
export function emptyColumns(
  columns: Columns,
  rows: readonly (readonly Cell[])[],
  groups: readonly (readonly string[])[],
): ReadonlySet<string> {
  const names = Object.keys(columns);
  const isEmpty = (name: string) => {
    const index = names.indexOf(name);
    return rows.every((row) => row[index] === null);
  };
  return new Set(groups.filter((group) => group.every(isEmpty)).flat());
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
