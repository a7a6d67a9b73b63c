import { Fragment } from 'preact';
import {
  CONSUMER_GROUPINGS,
  CONSUMER_STATES,
  type ConsumerAnswer,
  type ConsumerGroup,
  type ConsumerRow,
} from '../../src/protocol/api/consumers.ts';
import type { List } from '../../src/protocol/api/lists.ts';
import { count, duration, plural, rate } from '../../src/protocol/api/words.ts';
import { LIST_KEEPS, useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute, withParams } from '../lib/route.ts';
import { Chips, ParamChoice } from '../ui/filters.tsx';
import { useHold } from '../ui/hold.ts';
import { ListBody } from '../ui/list.tsx';
import { Badge, Bar, ConsumerLink, Facts } from '../ui/parts.tsx';
import { type ColumnOf, Table } from '../ui/table.tsx';
import { Ago, AsOf, At, Empty, Foreign, Heading, Lasting, None, Waiting } from '../ui/text.tsx';

export function ConsumersView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const group = query.get('group') ?? 'none';
  const feed = useFeed<List<ConsumerRow | ConsumerGroup>>(apiPath('consumers', query), {
    isHeld,
    keeps: LIST_KEEPS,
  });
  const { data } = feed;
  const state = query.get('state') ?? 'all';
  const rows = data?.items ?? [];
  return (
    <section>
      <Heading
        level={1}
        aside={
          <ParamChoice
            label="Grouped by"
            param="group"
            values={CONSUMER_GROUPINGS}
            words={(value) => (value === 'none' ? 'each' : `by ${value}`)}
            resets={() => ['sort', 'order']}
          />
        }
      >
        Consumers
      </Heading>
      <search class="filters">
        <ParamChoice label="State" param="state" values={['all', ...CONSUMER_STATES]} />
        <Chips path="consumers" except={['state', 'group', 'sort', 'order', 'cursor', 'limit', 'queue']} />
      </search>
      <div ref={ref} class="list">
        <ListBody
          feed={feed}
          isHeld={isHeld}
          empty={state === 'all' ? 'No consumer is connected' : 'No consumer is in this state'}
        >
          {() =>
            group === 'none' ? (
              <Rows rows={rows as readonly ConsumerRow[]} query={query} />
            ) : (
              <Groups rows={rows as readonly ConsumerGroup[]} by={group} />
            )
          }
        </ListBody>
      </div>
    </section>
  );
}

function StrategyText({ of }: { readonly of: string | null }) {
  return of === null ? (
    <span class="faint">none yet</span>
  ) : (
    <code title={of}>
      {of.split(/(?<=\()/).map((part, index) => (
        <Fragment key={index}>
          <Foreign text={part} />
          <wbr />
        </Fragment>
      ))}
    </code>
  );
}

/** What it does, and whether it holds up the others. */
function StateBadges({ of: { state, slow } }: { readonly of: ConsumerRow }) {
  return (
    <>
      <Badge kind={`consumer-${state}`}>{state}</Badge>
      {slow === null ? null : (
        <Badge kind="straggler" title={slowWords(slow)}>
          slow {timesText(slow)}
        </Badge>
      )}
    </>
  );
}

function slowWords(slow: number): string {
  return `${timesText(slow)} as long as others with its strategy`;
}

function timesText(slow: number): string {
  return `${slow.toFixed(slow < 10 ? 1 : 0)}×`;
}

const slowest = (row: ConsumerRow) => row.durations_ms?.p90 ?? 0;

function Rows({ rows, query }: { readonly rows: readonly ConsumerRow[]; readonly query: URLSearchParams }) {
  const most = Math.max(0, ...rows.map(slowest));
  const columns: readonly ColumnOf<ConsumerRow>[] = [
    {
      name: 'id',
      title: 'Consumer',
      cell: ({ conn_id: id }) => <ConsumerLink id={id} isRow />,
    },
    {
      name: 'address',
      title: 'Address',
      cell: ({ address }) => (address === null ? <None /> : <Foreign text={address} />),
    },
    {
      name: 'state',
      title: 'State',
      cell: (row) => (
        <span class="badges">
          <StateBadges of={row} />
        </span>
      ),
    },
    {
      name: 'strategy',
      title: 'Strategy',
      isWide: true,
      cell: ({ strategy }) => <StrategyText of={strategy} />,
    },
    { name: 'held', title: 'Holds', isNumber: true, sort: 'held', cell: ({ held }) => count(held) },
    {
      name: 'oldest',
      title: 'Longest',
      isNumber: true,
      sort: 'oldest_held',
      cell: ({ oldest_held_ms: ms }) => <Lasting ms={ms} />,
    },
    {
      name: 'rate',
      title: 'Chunks/s',
      isNumber: true,
      sort: 'rate',
      cell: (row) => rate(row.rate),
    },
    {
      name: 'took',
      title: 'Takes, p90',
      isNumber: true,
      sort: 'slowest',
      cell: (row) => (
        <span
          class="with-bar"
          title={row.durations_ms === null ? '' : `half of them ${duration(row.durations_ms.p50)}`}
        >
          <Bar value={slowest(row)} max={most} kind="delayed" />
          <span class="fixed">
            <Lasting ms={row.durations_ms?.p90 ?? null} />
          </span>
        </span>
      ),
    },
    {
      name: 'failed',
      title: 'Set back/min',
      isNumber: true,
      sort: 'failed',
      cell: ({ set_back_60s: failed }) => <span class={failed > 0 ? 'bad' : ''}>{count(failed)}</span>,
    },
    {
      name: 'silent',
      title: 'Silent',
      isNumber: true,
      sort: 'silent',
      cell: ({ silent_ms: ms }) => <Lasting ms={ms} />,
    },
    {
      name: 'client',
      title: 'Client',
      cell: ({ client }) => (client === null ? <span class="faint">old</span> : <Foreign text={client} />),
    },
    {
      name: 'since',
      title: 'Connected',
      isNumber: true,
      sort: 'since',
      cell: ({ since }) => <Ago at={since} />,
    },
  ];
  return (
    <Table
      label="Consumers"
      columns={columns}
      rows={rows}
      keyOf={({ conn_id: id }) => id}
      sort={{ by: query.get('sort') ?? 'since', order: query.get('order') ?? 'desc' }}
    />
  );
}

function Groups({ rows, by }: { readonly rows: readonly ConsumerGroup[]; readonly by: string }) {
  return (
    <Table
      label={`Consumers by ${by}`}
      rows={rows}
      keyOf={({ group }) => group ?? ''}
      columns={[
        {
          name: 'group',
          title: `${by.slice(0, 1).toUpperCase()}${by.slice(1)}`,
          isWide: true,
          cell: ({ group }) =>
            group === null ? (
              <span class="faint">none</span>
            ) : (
              <a class="row-link" href={hrefTo('consumers', withParams({ group: null, [by]: group }))}>
                <Foreign text={group} />
              </a>
            ),
        },
        { name: 'consumers', title: 'Consumers', isNumber: true, cell: ({ consumers }) => count(consumers) },
        { name: 'working', title: 'Working', isNumber: true, cell: ({ working }) => count(working) },
        { name: 'waiting', title: 'Waiting', isNumber: true, cell: ({ waiting }) => count(waiting) },
        {
          name: 'slow',
          title: 'Slow',
          isNumber: true,
          cell: ({ slow }) => <span class={slow > 0 ? 'warn' : ''}>{count(slow)}</span>,
        },
        { name: 'held', title: 'Hold', isNumber: true, cell: ({ held }) => count(held) },
        {
          name: 'oldest',
          title: 'Longest',
          isNumber: true,
          cell: ({ oldest_held_ms: ms }) => <Lasting ms={ms} />,
        },
        {
          name: 'rate',
          title: 'Chunks/s',
          isNumber: true,
          cell: (row) => rate(row.rate),
        },
        {
          name: 'failed',
          title: 'Set back/min',
          isNumber: true,
          cell: ({ set_back_60s: failed }) => count(failed),
        },
      ]}
    />
  );
}

export function ConsumerView({ id }: { readonly id: string }) {
  const { ref, isHeld } = useHold();
  const feed = useFeed<ConsumerAnswer>(apiPath(`consumers/${encodeURIComponent(id)}`), {
    isHeld,
  });
  const { data, error } = feed;
  if (data === null) {
    return (
      <>
        <Heading level={1}>
          Consumer <Foreign text={id} />
        </Heading>
        <Waiting error={error} />
      </>
    );
  }
  return (
    <>
      <Heading level={1}>
        Consumer {id} <StateBadges of={data} />
      </Heading>
      <AsOf feed={feed} />
      <div class="columns">
        <section>
          <Heading>Facts</Heading>
          <ConsumerFacts of={data} />
        </section>
        <section ref={ref}>
          <Heading
            aside={
              <a href={hrefTo('failures', `group=none&consumer=${encodeURIComponent(id)}`)}>Its failures</a>
            }
          >
            Holds {plural(data.held, 'chunk')}
          </Heading>
          {data.holding.length === 0 ? (
            <Empty>It holds nothing</Empty>
          ) : (
            <Table
              label="Chunks that it holds"
              rows={data.holding}
              keyOf={({ submission, chunk }) => `${submission} ${chunk}`}
              columns={[
                {
                  name: 'submission',
                  title: 'Submission',
                  isWide: true,
                  cell: ({ submission }) => (
                    <a class="row-link" href={hrefTo(`submissions/${submission}`)}>
                      {submission}
                    </a>
                  ),
                },
                { name: 'chunk', title: 'Chunk', isNumber: true, cell: ({ chunk }) => count(chunk) },
                {
                  name: 'held',
                  title: 'Held for',
                  isNumber: true,
                  cell: ({ held_ms: ms }) => <Lasting ms={ms} />,
                },
                {
                  name: 'expires',
                  title: 'Expires in',
                  isNumber: true,
                  cell: ({ expires_in_ms: ms }) => <Lasting ms={ms} />,
                },
                {
                  name: 'tries',
                  title: 'Tries before',
                  isNumber: true,
                  cell: ({ retries }) => count(retries),
                },
              ]}
            />
          )}
        </section>
      </div>
    </>
  );
}

function ConsumerFacts({ of: data }: { readonly of: ConsumerAnswer }) {
  const { durations_ms: durations } = data;
  return (
    <Facts
      of={[
        ['Address', <Foreign key="text" text={data.address ?? 'unknown'} />],
        ['Client', <Foreign key="text" text={data.client ?? 'an old one, which does not say'} />],
        ['Queue', <Foreign key="text" text={data.queue === '-' ? 'the unnamed one' : data.queue} />],
        ['Strategy', <StrategyText key="text" of={data.strategy} />],
        ['Works on at once', plural(data.concurrency, 'chunk')],
        ['Connected', <At key="at" at={data.since} />],
        ['Heard of', `${duration(data.silent_ms)} ago`],
        ['Done', `${count(data.done)}, ${rate(data.rate)} per second over the last minute`],
        ['Set back', `${count(data.set_back)}, ${count(data.set_back_60s)} in the last minute`],
        [
          'Hand-out to result',
          durations === null
            ? 'known after 5 chunks'
            : `${duration(durations.p50)}, nine in ten less than ${duration(durations.p90)}${data.slow === null ? '' : `; ${slowWords(data.slow)}`}`,
        ],
      ]}
    />
  );
}
