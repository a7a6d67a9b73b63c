import type { ComponentChildren } from 'preact';
import type { List } from '../../src/protocol/api/lists.ts';
import type { ApiError } from '../lib/api.ts';
import { Empty, Problem, Waiting } from './text.tsx';

/** The rows of a list, or what stands in their place: nothing has come yet, it was refused, or there are none. */
export function ListBody<Item>({
  data,
  error,
  empty,
  children,
}: {
  readonly data: List<Item> | null;
  readonly error: ApiError | null;
  /** Says that there are none. */
  readonly empty: string;
  readonly children: (data: List<Item>) => ComponentChildren;
}) {
  if (data === null) return <Waiting error={error} />;
  return (
    <>
      <Problem of={error} />
      {data.items.length === 0 ? <Empty>{empty}</Empty> : children(data)}
    </>
  );
}
