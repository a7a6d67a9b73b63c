import { useEffect, useState } from 'preact/hooks';
import type { List } from '../../src/protocol/api/lists.ts';
import {
  isOfEnded,
  LEFT_UNKNOWN_WORDS,
  SUBMISSION_FILTERS,
  type SubmissionItem,
} from '../../src/protocol/api/submissions.ts';
import { count, plural, rate } from '../../src/protocol/api/words.ts';
import { VerbButtons, VerbMenu } from '../actions/buttons.tsx';
import { filterOf } from '../actions/filter.ts';
import { range } from '../lib/format.ts';
import { changes, LIST_KEEPS, useFeed } from '../lib/live.ts';
import { choose, preferences } from '../lib/preferences.ts';
import { apiPath, goTo, hrefTo, useRoute, withParams } from '../lib/route.ts';
import { useStore } from '../lib/store.ts';
import { Chips, ParamChoice } from '../ui/filters.tsx';
import { useHold } from '../ui/hold.ts';
import { ListBody } from '../ui/list.tsx';
import { Menu } from '../ui/menu.tsx';
import { Badge, Pairs, Progress, StateBadge, SubmissionLink } from '../ui/parts.tsx';
import { type ColumnOf, Table } from '../ui/table.tsx';
import { Ago, Amount, Foreign, Heading, Lasting, None } from '../ui/text.tsx';

const COLUMNS: readonly ColumnOf<SubmissionItem>[] = [
  {
    name: 'id',
    title: 'Submission',
    cell: ({ id }) => <SubmissionLink id={id} />,
  },
  {
    name: 'prefix',
    title: 'Prefix',
    isWide: true,
    cell: ({ prefix }) =>
      prefix === null ? (
        <span class="faint">in the queue</span>
      ) : (
        <span class="cut" title={prefix}>
          <Foreign text={prefix} />
        </span>
      ),
  },
  { name: 'metadata', title: 'Metadata', cell: ({ metadata }) => <Pairs of={metadata} /> },
  {
    name: 'state',
    title: 'State',
    cell: ({ state, failing, chunks }) => (
      <span class="badges">
        <StateBadge state={state} chunks={chunks} />
        {failing ? <Badge kind="bad">failing</Badge> : null}
      </span>
    ),
  },
  { name: 'progress', title: 'Done', sort: 'done', cell: ({ chunks }) => <Progress chunks={chunks} /> },
  {
    name: 'waiting',
    title: 'Waiting',
    isNumber: true,
    sort: 'waiting',
    cell: ({ chunks }) => <Amount value={chunks.waiting} />,
  },
  {
    name: 'left',
    title: 'Time left',
    isNumber: true,
    sort: 'left',
    cell: ({ left_ms: left, left_unknown: unknown }) => (
      <span title={unknown === null ? '' : LEFT_UNKNOWN_WORDS[unknown]}>
        {left === null ? <None /> : range(left.p50, left.p90)}
      </span>
    ),
  },
  { name: 'rate', title: 'Chunks/s', isNumber: true, sort: 'rate', cell: (row) => rate(row.rate) },
  { name: 'chunks', title: 'Chunks', isNumber: true, cell: ({ chunks }) => <Amount value={chunks.total} /> },
  {
    name: 'tries',
    title: 'Set back',
    isNumber: true,
    sort: 'tries',
    cell: ({ set_back: setBack, chunks: { failed } }) => (
      <span
        class={failed > 0 ? 'bad' : ''}
        title={[
          setBack === null ? 'Not kept any more' : '',
          failed > 0 ? `${plural(failed, 'chunk')} failed for good` : '',
        ]
          .filter((each) => each !== '')
          .join('; ')}
      >
        {setBack === null ? <None /> : <Amount value={setBack} />}
      </span>
    ),
  },
  {
    name: 'held',
    title: 'Held longest',
    isNumber: true,
    sort: 'oldest_held',
    cell: ({ oldest_held_ms: ms }) => <Lasting ms={ms} />,
  },
  {
    name: 'inserted',
    title: 'Inserted',
    isNumber: true,
    sort: 'inserted',
    cell: ({ inserted }) => <Ago at={inserted} />,
  },
  {
    name: 'ended',
    title: 'Ended',
    isNumber: true,
    cell: ({ ended }) => (ended === null ? <None /> : <Ago at={ended} />),
  },
];
/** Those that say little in most lists. */
const HIDDEN_FIRST = ['waiting', 'held', 'ended'];
/** Parameters that are no filters, or have a place of their own. */
const NO_CHIPS = ['sort', 'order', 'cursor', 'limit', 'state', 'queue'];

/** Parameters that are refused with a state. */
const REFUSED_OF_ENDED = ['sort', 'order'];
const REFUSED_OF_OPEN = ['ended_before', 'ended_after'];

export function SubmissionsView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const { hiddenColumns } = useStore(preferences);
  const feed = useFeed<List<SubmissionItem>>(apiPath('submissions', query), {
    isHeld: isHeld || chosen.size > 0,
    keeps: LIST_KEEPS,
  });
  const { data, isOld } = feed;
  const address = query.toString();
  useEffect(() => setChosen(new Set()), [address]);
  useEffect(() => changes.subscribe(() => setChosen(new Set())), []);
  const rows = data?.items ?? [];
  const toggle = (key: string) => {
    const next = new Set(chosen);
    if (!next.delete(key)) next.add(key);
    setChosen(next);
  };
  return (
    <section>
      <Heading level={1}>Submissions</Heading>
      <Filters />
      <div class="actions">
        <Actions
          chosen={rows.filter(({ id }) => chosen.has(id))}
          matched={data?.matched ?? null}
          clear={() => setChosen(new Set())}
        />
        <ColumnChoice hidden={hiddenColumns} />
      </div>
      <div ref={ref} class="list">
        <ListBody
          feed={feed}
          isHeld={isHeld}
          hasSelected={chosen.size > 0}
          empty={<NoMatch state={query.get('state') ?? 'open'} />}
        >
          {() => (
            <Table
              label="Submissions"
              columns={COLUMNS.filter(({ name }) => name === 'id' || isShown(name, hiddenColumns))}
              rows={rows}
              isOld={isOld}
              keyOf={({ id }) => id}
              {...(isOfEnded(query.get('state') ?? 'open')
                ? {}
                : { sort: { by: query.get('sort') ?? 'inserted', order: query.get('order') ?? 'desc' } })}
              chosen={{
                keys: chosen,
                toggle,
                all: (isChosen) => setChosen(new Set(isChosen ? rows.map(({ id }) => id) : [])),
              }}
            />
          )}
        </ListBody>
      </div>
    </section>
  );
}

function NoMatch({ state }: { readonly state: string }) {
  const all = hrefTo('submissions', withParams({ state: 'all', sort: null, order: null }));
  return (
    <>
      No submission matches
      {state === 'all' ? null : (
        <>
          . <a href={all}>Look among those in any state</a>
        </>
      )}
    </>
  );
}

/** What is hidden at first is named, with a plus, when it is to be seen. */
function isShown(name: string, chosen: readonly string[]): boolean {
  return HIDDEN_FIRST.includes(name) ? chosen.includes(`+${name}`) : !chosen.includes(name);
}

function ColumnChoice({ hidden }: { readonly hidden: readonly string[] }) {
  const toggle = (name: string) => {
    const entry = HIDDEN_FIRST.includes(name) ? `+${name}` : name;
    const others = hidden.filter((each) => each !== entry);
    choose({ hiddenColumns: others.length < hidden.length ? others : [...hidden, entry] });
  };
  return (
    <Menu title="Columns">
      {COLUMNS.slice(1).map(({ name, title }) => (
        <label key={name}>
          <input type="checkbox" checked={isShown(name, hidden)} onChange={() => toggle(name)} /> {title}
        </label>
      ))}
    </Menu>
  );
}

/** The state, all other filters as chips, and a line to add one. */
function Filters() {
  const [text, setText] = useState('');
  return (
    <search class="filters">
      <ParamChoice
        label="State"
        param="state"
        values={SUBMISSION_FILTERS}
        resets={(state) => (isOfEnded(state) ? REFUSED_OF_ENDED : REFUSED_OF_OPEN)}
      />
      <Chips path="submissions" except={NO_CHIPS} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const href = filterHref(text.trim());
          if (href === null) return;
          setText('');
          goTo(href);
        }}
      >
        <input
          id="filter"
          type="search"
          aria-label="Add a filter: key:value of metadata, the beginning of a prefix, or an id"
          placeholder="customer:42, prefix or id"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </form>
    </search>
  );
}

const NAMED_FILTER =
  /^(prefix|prefix_starts|failure|inserted_before|inserted_after|ended_before|ended_after):(.+)$/;

/** `key:number` is metadata, many digits are an id, anything else begins a prefix. */
function filterHref(text: string): string | null {
  if (text === '') return null;
  if (/^\d{10,19}$/.test(text)) return hrefTo(`submissions/${text}`);
  const [, name, value] = NAMED_FILTER.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return hrefTo('submissions', withParams({ [name]: value }));
  if (!/^.+:-?\d+$/.test(text)) return hrefTo('submissions', withParams({ prefix_starts: text }));
  const params = withParams({});
  params.append('meta', text);
  return hrefTo('submissions', params);
}

/** For the chosen rows, or for all that match. */
function Actions({
  chosen,
  matched,
  clear,
}: {
  readonly chosen: readonly SubmissionItem[];
  readonly matched: number | null;
  clear(): void;
}) {
  const { query } = useRoute();
  if (chosen.length > 0) {
    return (
      <div class="actions" role="toolbar" aria-label="Of the selected submissions">
        <b>{count(chosen.length)} selected</b>
        <VerbButtons
          target={{ ids: chosen.map(({ id }) => id) }}
          of={chosen}
          before={chosen.length === 1 ? chosen[0] : undefined}
        />
        <button type="button" class="quiet" onClick={clear}>
          Select none
        </button>
      </div>
    );
  }
  const filter = filterOf(query);
  return filter === null || matched === null || matched === 0 ? null : (
    <VerbMenu filter={filter} matched={matched} />
  );
}
