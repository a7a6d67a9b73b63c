import { FAILURES_KEPT_MAX } from '../../src/protocol/api/failures.ts';
import type { List, PauseItem } from '../../src/protocol/api/lists.ts';
import {
  type ChunkRow,
  LEFT_UNKNOWN_WORDS,
  type SubmissionAnswer,
} from '../../src/protocol/api/submissions.ts';
import { count, duration, percent, plural, rate } from '../../src/protocol/api/words.ts';
import { VerbButtons } from '../actions/buttons.tsx';
import { range } from '../lib/format.ts';
import { useFeed } from '../lib/live.ts';
import { apiPath, hrefTo } from '../lib/route.ts';
import { ChunkMap } from '../map/chunk-map.tsx';
import { Copy } from '../ui/copy.tsx';
import { useHold } from '../ui/hold.ts';
import {
  Badge,
  Bar,
  ConsumerLink,
  Facts,
  Pairs,
  PauseList,
  Progress,
  pausedWords,
  StateBadge,
} from '../ui/parts.tsx';
import { Table } from '../ui/table.tsx';
import {
  Ago,
  AsOf,
  At,
  Empty,
  Foreign,
  ForeignBlock,
  Heading,
  Lasting,
  Unfolding,
  Waiting,
} from '../ui/text.tsx';
import { Fold } from '../ui/unfold.tsx';
import { ChunkTable } from './chunks.tsx';
import { FailureGroups } from './failures.tsx';
import { Figure } from './overview.tsx';
import { WhyPanel } from './why.tsx';

const ROWS = 8;
/** The most that a request gives. */
const HELD_MAX = 200;

export function SubmissionView({ id }: { readonly id: string }) {
  const feed = useFeed<SubmissionAnswer>(apiPath(`submissions/${id}`));
  const { data, error } = feed;
  if (data === null) {
    return (
      <>
        <Heading level={1}>Submission {id}</Heading>
        <Waiting error={error} />
      </>
    );
  }
  const isOpen = data.ended === null;
  // While it is worked on there may be some at any moment: then their place stays.
  const mayBeHeld = isOpen && (data.chunks.reserved > 0 || !['paused', 'delayed'].includes(data.state));
  return (
    <>
      <Head submission={data} />
      <AsOf feed={feed} />
      <Progress chunks={data.chunks} isLarge />
      <End of={data} />
      {isOpen ? <WhyPanel submission={id} arePausesTold /> : null}
      <Pauses own={data.pauses} ofQueue={data.queue_pauses} />
      <Figures submission={data} />
      {data.chunks.total === 0 ? null : <ChunkMap submission={data} />}
      {mayBeHeld ? (
        <Fold title="Held longest, and by whom">
          <Held submission={data} />
        </Fold>
      ) : null}
      {data.failures.length === 0 ? null : (
        <section>
          <Heading aside={<a href={hrefTo('failures', `submission=${id}`)}>All its failures</a>}>
            Failures{' '}
            {data.failures_since === null ? null : (
              <span class="since">
                those among the newest {count(FAILURES_KEPT_MAX)} of all, since{' '}
                <Ago at={data.failures_since} />
              </span>
            )}
          </Heading>
          <FailureGroups groups={data.failures} />
        </section>
      )}
      <div class="columns">
        <Timeline submission={data} />
        <FactsOf submission={data} />
      </div>
    </>
  );
}

function Head({ submission }: { readonly submission: SubmissionAnswer }) {
  const { id, prefix, state, failing, metadata, queue, chunks } = submission;
  return (
    <header class="submission-head">
      <div>
        <h1>
          <span class="faint">Submission</span> <span>{id}</span>
          <Copy text={id} what="the id" />
        </h1>
        <p class="about">
          <StateBadge state={state} chunks={chunks} />
          {failing ? <Badge kind="bad">failing</Badge> : null}
          {queue === '-' ? null : (
            <a class="pair" href={hrefTo('submissions', `queue=${encodeURIComponent(queue)}`)}>
              <span class="key">queue</span>
              <Foreign text={queue} />
            </a>
          )}
          {Object.keys(metadata).length === 0 ? null : <Pairs of={metadata} />}
          {prefix === null ? null : (
            <span class="prefix" title="Prefix of its chunks in the object store">
              <Foreign text={prefix} />
            </span>
          )}
        </p>
      </div>
      <div class="actions" role="toolbar" aria-label="Actions">
        <VerbButtons target={{ ids: [id] }} of={[submission]} before={submission} />
      </div>
    </header>
  );
}

function Figures({ submission }: { readonly submission: SubmissionAnswer }) {
  const { chunks, state, rate: perSecond, inserted, ended, durations_ms: durations } = submission;
  const share = chunks.total === 0 ? 1 : chunks.done / chunks.total;
  const { left_ms: left, left_unknown: unknown } = submission;
  return (
    <section class="figures" aria-label="Progress">
      <Figure
        name="Done"
        value={percent(share)}
        note={`${count(chunks.done)} of ${plural(chunks.total, 'chunk')}`}
      />
      {ended === null ? (
        <Figure
          name="Time left"
          value={left === null ? '–' : range(left.p50, left.p90)}
          note={unknown === null ? 'at the rate of the last minute' : LEFT_UNKNOWN_WORDS[unknown]}
        />
      ) : (
        <Figure
          name="Took"
          value={duration(Date.parse(ended) - Date.parse(inserted))}
          note={
            <>
              ended <Ago at={ended} />
            </>
          }
        />
      )}
      <Figure name="Chunks per second" value={rate(perSecond)} note="over the last minute" />
      <Figure
        name="In flight"
        value={count(chunks.reserved)}
        note={
          chunks.delayed > 0
            ? `${count(chunks.delayed)} wait for a retry`
            : chunks.paused > 0
              ? `${count(chunks.paused)} ${pausedWords(state)}`
              : `${count(chunks.waiting)} waiting`
        }
      />
      <Figure
        name="Hand-out to result"
        value={durations === null ? '–' : duration(durations.p50)}
        note={
          durations === null
            ? ended === null
              ? 'fewer than 20 of its chunks are done'
              : 'not known any more'
            : `p90 ${duration(durations.p90)}, longest ${duration(durations.max)}`
        }
      />
    </section>
  );
}

function End({ of: { end, state } }: { readonly of: SubmissionAnswer }) {
  if (end === null) return null;
  return (
    <section class={state === 'failed' ? 'panel end failed' : 'panel end'} aria-label="Its end">
      <b>
        {state === 'failed' ? 'Failed' : 'Ended'}
        {state !== 'failed' || end.chunk === null ? null : `, because of chunk ${count(end.chunk)}`}
        {end.by === null ? null : (
          <>
            , by <Foreign text={end.by} />
          </>
        )}
      </b>
      {end.text === '' ? null : <ForeignBlock text={end.text} />}
    </section>
  );
}

function Pauses({
  own,
  ofQueue,
}: {
  readonly own: readonly PauseItem[];
  readonly ofQueue: readonly PauseItem[];
}) {
  return (
    <>
      <PauseList of={own} what="Paused" />
      <PauseList of={ofQueue} what="Its queue is paused" />
    </>
  );
}

/** What is held longest, and who holds how much. */
function Held({
  submission: { id, durations_ms: durations, chunks },
}: {
  readonly submission: SubmissionAnswer;
}) {
  const { ref, isHeld } = useHold();
  const query = `state=reserved&sort=held&limit=${HELD_MAX}`;
  const hasAny = chunks.reserved > 0;
  const feed = useFeed<List<ChunkRow>>(hasAny ? apiPath(`submissions/${id}/chunks`, query) : null, {
    isHeld,
    slower: 2,
  });
  const rows = hasAny ? (feed.data?.items ?? []) : [];
  const holders = holdersOf(rows).slice(0, ROWS);
  const most = holders[0]?.held ?? 0;
  const all = hrefTo(`submissions/${id}/chunks`, 'state=reserved&sort=held');
  return (
    <div class="columns" ref={ref}>
      <section>
        <Heading aside={rows.length > ROWS ? <a href={all}>All in flight</a> : undefined}>
          Held longest
        </Heading>
        <AsOf feed={feed} />
        {hasAny && feed.data === null ? (
          <Waiting error={feed.error} />
        ) : rows.length === 0 ? (
          <Empty>Nothing is in flight</Empty>
        ) : (
          <ChunkTable rows={rows.slice(0, ROWS)} p90={durations?.p90 ?? null} isShort />
        )}
      </section>
      <section>
        <Heading>Who works on it</Heading>
        {holders.length === 0 ? (
          <Empty>Nobody at the moment</Empty>
        ) : (
          <Table
            label="Consumers of this submission"
            rows={holders}
            keyOf={({ holder }) => holder}
            columns={[
              {
                name: 'consumer',
                title: 'Consumer',
                cell: ({ holder }) => <ConsumerLink id={holder} />,
              },
              {
                name: 'held',
                title: 'Holds',
                isNumber: true,
                cell: ({ held }) => (
                  <span class="with-bar">
                    <Bar value={held} max={most} kind="reserved" />
                    <span class="fixed">{count(held)}</span>
                  </span>
                ),
              },
              {
                name: 'longest',
                title: 'Longest',
                isNumber: true,
                cell: ({ oldestMs }) => <Lasting ms={oldestMs} />,
              },
            ]}
          />
        )}
      </section>
    </div>
  );
}

/** Those with most first. */
function holdersOf(rows: readonly ChunkRow[]) {
  const holders = new Map<string, { readonly holder: string; held: number; oldestMs: number }>();
  for (const { holder, held_ms: ms } of rows) {
    if (holder === null) continue;
    const known = holders.get(holder) ?? { holder, held: 0, oldestMs: 0 };
    known.held++;
    known.oldestMs = Math.max(known.oldestMs, ms ?? 0);
    holders.set(holder, known);
  }
  return [...holders.values()].sort((a, b) => b.held - a.held);
}

function Timeline({ submission: { timeline, acted_by: acts } }: { readonly submission: SubmissionAnswer }) {
  const moments = [
    ...timeline
      .filter(({ kind }) => kind !== 'acted' || acts.length === 0)
      .map(({ at, kind, text, by }) => ({ at, what: kind.replaceAll('_', ' '), text, by })),
    ...acts.map(({ at, verb, detail, reason, by }) => ({
      at,
      what: verb,
      text: [detail, reason].filter((part) => part !== null && part !== '').join(': '),
      by,
    })),
  ].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  return (
    <section>
      <Heading>Time line</Heading>
      <ol class="panel timeline">
        {moments.map(({ at, what, text, by }) => (
          <li key={`${at} ${what} ${text}`}>
            <At at={at} />
            <span>
              <b>{what}</b> <Unfolding text={text} />
              {by === null ? null : (
                <span class="faint">
                  {' '}
                  by <Foreign text={by} />
                </span>
              )}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function FactsOf({ submission }: { readonly submission: SubmissionAnswer }) {
  const { chunks, chunk_size: size, failure_mode: mode, inserted, deadline, set_back: setBack } = submission;
  const start = submission.start_after;
  return (
    <section>
      <Heading>Facts</Heading>
      <Facts
        of={[
          ['Inserted', <At key="at" at={inserted} />],
          ['Chunks', `${count(chunks.total)}${size === null ? '' : ` of ${plural(size, 'operation')}`}`],
          ['Set back', setBack === null ? 'not kept any more' : plural(setBack, 'try', 'tries')],
          ['A failed chunk', mode === 'collect' ? 'is set aside, the others go on' : 'fails the submission'],
          ['Deadline', deadline === null ? 'none' : <At key="at" at={deadline} />],
          ['Not before', start === null ? 'at once' : <At key="at" at={start} />],
        ]}
      />
    </section>
  );
}
