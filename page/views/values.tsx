import type { List } from '../../src/protocol/api/lists.ts';
import type { KeyRow, ValueRow } from '../../src/protocol/api/values.ts';
import { count, percent, plural, rate } from '../../src/protocol/api/words.ts';
import { roughly } from '../lib/format.ts';
import { LIST_KEEPS, useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { Choice } from '../ui/filters.tsx';
import { useHold } from '../ui/hold.ts';
import { ListBody } from '../ui/list.tsx';
import { Bar } from '../ui/parts.tsx';
import { type ColumnOf, Table } from '../ui/table.tsx';
import { Amount, Empty, Foreign, Heading, None, Waiting } from '../ui/text.tsx';

/** Who waits, and who is served, by the values of a key of metadata. */
export function ValuesView() {
  const { query } = useRoute();
  const keys = useFeed<List<KeyRow>>(apiPath('keys'), { slower: 5 });
  const items = keys.data?.items ?? [];
  const key = query.get('key') ?? items[0]?.key ?? null;
  return (
    <section>
      <Heading level={1}>Fairness</Heading>
      {keys.data === null ? (
        <Waiting error={keys.error} />
      ) : items.length === 0 ? (
        <Empty>
          No open submission carries metadata. Producers give it as strategicMetadata, such as the customer
          whose work it is.
        </Empty>
      ) : (
        <search class="filters">
          <Choice
            label="Key"
            chosen={key ?? ''}
            choices={items.map(({ key: value, values }) => ({
              value,
              words: value,
              title: plural(values, 'value'),
              href: hrefTo('values', `key=${encodeURIComponent(value)}`),
            }))}
          />
        </search>
      )}
      {key === null || items.length === 0 ? null : <Values of={key} />}
    </section>
  );
}

function Values({ of: key }: { readonly of: string }) {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const params = new URLSearchParams(query);
  params.set('key', key);
  const feed = useFeed<List<ValueRow>>(apiPath('values', params), {
    isHeld,
    keeps: LIST_KEEPS,
  });
  const { data, isOld } = feed;
  const rows = data?.items ?? [];
  return (
    <div ref={ref} class="list">
      <ListBody feed={feed} isHeld={isHeld} empty="No open submission carries this key">
        {({ matched }) => (
          <Table
            label={`Values of ${key}`}
            rows={rows}
            isOld={isOld}
            keyOf={({ value }) => value}
            sort={{ by: query.get('sort') ?? 'waiting', order: query.get('order') ?? 'desc' }}
            columns={columnsOf(key, rows, query.has('starts') ? null : matched)}
          />
        )}
      </ListBody>
    </div>
  );
}

/** Values that have just come, and the first look at a key. */
const RATE_UNKNOWN = 'Counted from one look to the next: known in a second, of up to 20\u2009000 values';

/** A number with a bar that compares it with the others. */
function compared(
  name: string,
  title: string,
  rows: readonly ValueRow[],
  kind: string,
  of: (row: ValueRow) => number | null,
  text: (value: number) => preact.ComponentChildren,
  /** Why there is none. */
  unknown = '',
): ColumnOf<ValueRow> {
  const most = Math.max(0, ...rows.map((row) => of(row) ?? 0));
  return {
    name,
    title,
    isNumber: true,
    sort: name,
    cell: (row) => {
      const value = of(row);
      return (
        <span class="with-bar" title={value === null ? unknown : ''}>
          <Bar value={value ?? 0} max={most} kind={kind} />
          <span class="fixed">{value === null ? <None /> : text(value)}</span>
        </span>
      );
    },
  };
}

function columnsOf(
  key: string,
  rows: readonly ValueRow[],
  /** How many values there are, seen or not; null: not known. */
  values: number | null,
): readonly ColumnOf<ValueRow>[] {
  const equal = values === null ? null : 1 / Math.max(values, 1);
  const amount = (value: number) => <Amount value={value} />;
  return [
    {
      name: 'value',
      title: key,
      sort: 'value',
      cell: ({ value }) => (
        <a class="row-link" href={hrefTo('submissions', `meta=${encodeURIComponent(`${key}:${value}`)}`)}>
          <Foreign text={value} />
        </a>
      ),
    },
    {
      name: 'submissions',
      title: 'Submissions',
      isNumber: true,
      cell: ({ submissions }) => count(submissions),
    },
    compared('waiting', 'Waiting', rows, 'muted', ({ waiting }) => waiting, amount),
    compared('in_flight', 'In flight', rows, 'reserved', (row) => row.in_flight, amount),
    compared('rate', 'Chunks/s', rows, 'done', (row) => row.rate, rate, RATE_UNKNOWN),
    {
      name: 'set_back',
      title: 'Set back/min',
      isNumber: true,
      sort: 'set_back',
      cell: ({ set_back_60s: setBack }) => <span class={setBack > 0 ? 'bad' : ''}>{count(setBack)}</span>,
    },
    {
      name: 'share',
      title: 'Share in flight',
      isNumber: true,
      cell: ({ share }) => (
        <span {...(equal === null ? {} : { title: `an equal share would be ${percent(equal)}` })}>
          {percent(share)}
        </span>
      ),
    },
    {
      name: 'against',
      title: 'Against equal',
      isNumber: true,
      cell: ({ share }) => (equal === null || share === 0 ? <None /> : `${(share / equal).toFixed(2)}×`),
    },
    {
      name: 'oldest',
      title: 'Oldest',
      isNumber: true,
      sort: 'oldest',
      cell: ({ oldest_ms: ms }) => roughly(ms),
    },
  ];
}
