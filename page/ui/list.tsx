import type { ComponentChildren } from 'preact';
import type { List } from '../../src/protocol/api/lists.ts';
import { count } from '../../src/protocol/api/words.ts';
import type { Feed } from '../lib/live.ts';
import { currentRoute, hrefTo, withParams } from '../lib/route.ts';
import { AsOf, Empty, Waiting } from './text.tsx';

/** The rows of a list, or what stands in their place: nothing has come yet, it was refused, or there are none. Below them, what else there is. */
export function ListBody<Item>({
  feed,
  empty,
  isHeld,
  hasSelected = false,
  children,
}: {
  readonly feed: Feed<List<Item>>;
  /** Says that there are none. */
  readonly empty: ComponentChildren;
  /** They hold still for now. */
  readonly isHeld: boolean;
  /** So they do while some of them are selected. */
  readonly hasSelected?: boolean;
  readonly children: (data: List<Item>) => ComponentChildren;
}) {
  const { data, error } = feed;
  if (data === null) return <Waiting error={error} />;
  return (
    <>
      <AsOf feed={feed} />
      {data.items.length > 0 ? (
        children(data)
      ) : (
        <Empty>
          {data.next === null ? empty : 'None among those looked at so far: go on to the next page'}
        </Empty>
      )}
      <div class="below">
        <Pager matched={data.matched} shown={data.items.length} next={data.next} />
        {/* Always there, so that nothing moves when it speaks. */}
        <span class="held-note">
          {hasSelected
            ? 'held still while rows are selected'
            : isHeld
              ? 'held still while you point at it'
              : ''}
        </span>
      </div>
    </>
  );
}

/** From page to page of a list. */
function Pager({
  matched,
  shown,
  next,
}: {
  readonly matched: number | null;
  readonly shown: number;
  readonly next: string | null;
}) {
  const { parts, query } = currentRoute();
  const isFirst = !query.has('cursor');
  const path = parts.join('/');
  const total = matched === null ? '' : ` of ${count(matched)}`;
  return (
    <nav class="pager" aria-label="Pages of the list">
      <span>
        {count(shown)}
        {total} shown
      </span>
      {isFirst ? null : <a href={hrefTo(path, withParams({}))}>First page</a>}
      {next === null ? null : <a href={hrefTo(path, withParams({ cursor: next }))}>Next page</a>}
    </nav>
  );
}
