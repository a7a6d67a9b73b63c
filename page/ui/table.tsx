import type { ComponentChildren } from 'preact';
import { currentRoute, hrefTo, withParams } from '../lib/route.ts';
import { Icon } from './icons.tsx';
import { useUnfolded } from './unfold.tsx';

export interface ColumnOf<Row> {
  readonly name: string;
  readonly title: ComponentChildren;
  /** Numbers stand at the right. */
  readonly isNumber?: boolean;
  /** The parameter that sorts by it. */
  readonly sort?: string;
  /** Takes the room that is left. */
  readonly isWide?: boolean;
  cell(row: Row): ComponentChildren;
}

export interface TableProps<Row> {
  readonly label: string;
  readonly columns: readonly ColumnOf<Row>[];
  readonly rows: readonly Row[];
  keyOf(row: Row): string;
  /** Sorted by what, in the address; default where nothing is. */
  readonly sort?: { readonly by: string; readonly order: string };
  readonly isOld?: boolean;
  /** Rows that are chosen, and how to choose one. */
  readonly chosen?: {
    readonly keys: ReadonlySet<string>;
    toggle(key: string): void;
    all(isChosen: boolean): void;
  };
}

/** A table; on a narrow screen its rows become cards. */
export function Table<Row>({ label, columns, rows, keyOf, sort, isOld, chosen }: TableProps<Row>) {
  const { shown, isBusy, more } = useUnfolded(rows.length);
  return (
    <div class="panel table-frame">
      <table class={`rows cards ${isOld ? 'old' : ''}`} aria-label={label} aria-busy={isBusy || undefined}>
        <thead>
          <tr>
            {chosen === undefined ? null : (
              <th class="choose">
                <input
                  type="checkbox"
                  aria-label="Select all rows"
                  checked={rows.length > 0 && rows.every((row) => chosen.keys.has(keyOf(row)))}
                  onChange={(event) => chosen.all(event.currentTarget.checked)}
                />
              </th>
            )}
            {columns.map((column) => (
              <HeadCell key={column.name} column={column} {...(sort === undefined ? {} : { sort })} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, shown).map((row) => {
            const key = keyOf(row);
            const isChosen = chosen?.keys.has(key) ?? false;
            return (
              <tr key={key} class={isChosen ? 'chosen' : ''} data-row={key}>
                {chosen === undefined ? null : (
                  <td class="choose">
                    <input
                      type="checkbox"
                      aria-label={`Select ${key}`}
                      checked={isChosen}
                      onChange={() => chosen.toggle(key)}
                    />
                  </td>
                )}
                {columns.map(({ name, title, isNumber, isWide, cell }) => (
                  <td
                    key={name}
                    class={`${isNumber ? 'number' : ''} ${isWide ? 'wide' : ''} col-${name}`}
                    data-title={typeof title === 'string' ? title : name}
                  >
                    {cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      {more}
    </div>
  );
}

function HeadCell<Row>({
  column: { title, isNumber, sort: by, isWide },
  sort,
}: {
  readonly column: ColumnOf<Row>;
  readonly sort?: { readonly by: string; readonly order: string };
}) {
  const classes = `${isNumber ? 'number' : ''} ${isWide ? 'wide' : ''}`;
  if (by === undefined || sort === undefined) return <th class={classes}>{title}</th>;
  const isSorted = sort.by === by;
  const isDown = isSorted && sort.order === 'desc';
  const { parts } = currentRoute();
  const query = withParams({ sort: by, order: isDown ? 'asc' : 'desc' });
  return (
    <th class={classes} aria-sort={isSorted ? (isDown ? 'descending' : 'ascending') : 'none'}>
      <a class="sort" href={hrefTo(parts.join('/'), query)}>
        {title}
        <span class={`arrow ${isSorted ? 'on' : ''}`}>
          <Icon name={isDown || !isSorted ? 'down' : 'up'} />
        </span>
      </a>
    </th>
  );
}
