import { binaryArray, type Cell, type ElementType } from './binary-array.ts';
import type { SqlScalar } from './counted-statement.ts';

/** Columns by name, in their order. */
export type Columns = Readonly<Record<string, ElementType>>;

const NONE: ReadonlySet<string> = new Set();

/** The values of a statement, and what stands for them in its text. */
export class Parameters {
  readonly values: SqlScalar[] = [];

  add(value: SqlScalar, type: string): string {
    return `$${this.values.push(value)}::${type}`;
  }

  texts(values: readonly string[]): string {
    return this.#array('text', values);
  }

  integers(values: readonly (number | bigint)[]): string {
    return this.#array('bigint', values);
  }

  /** Rows as something to select from. @param leftOut columns that it is not to have */
  table(columns: Columns, rows: readonly (readonly Cell[])[], leftOut: ReadonlySet<string> = NONE): string {
    const kept = Object.entries(columns).flatMap(([name, type], at) =>
      leftOut.has(name) ? [] : [{ name, type, at }],
    );
    return this.columns(
      Object.fromEntries(kept.map(({ name, type }) => [name, type])),
      kept.map(({ at }) => rows.map((row) => row[at] ?? null)),
    );
  }

  /**
   * The same, column by column: an array for each, which are unnested in a select list: in FROM, each would be written to a
   * temporary store first, which for a few rows takes longer than the rest.
   */
  columns(columns: Columns, cells: readonly (readonly Cell[])[]): string {
    const unnested = Object.entries(columns).map(
      ([name, type], at) => `unnest(${this.#array(type, cells[at]!)}) AS ${name}`,
    );
    return `(SELECT ${unnested.join(', ')})`;
  }

  #array(type: ElementType, cells: readonly Cell[]): string {
    return this.add(binaryArray(type, cells), `${type}[]`);
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
