import { useState } from 'preact/hooks';
import { count, duration, percent } from '../../src/protocol/api/words.ts';
import { type Cells, cellAt, durationsAt } from './cells.ts';

const TABLE_ROWS = 20;

/** The same in numbers, in a few equal parts. */
export function MapTable({ cells }: { readonly cells: Cells }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="map-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {isOpen ? (
        <table class="rows" aria-label="Chunks by range">
          <thead>
            <tr>
              <th>Chunks</th>
              <th class="number">{cells.mode === 'duration' ? 'Mean' : 'Done'}</th>
              <th>{cells.mode === 'duration' ? 'Longest' : 'What else'}</th>
            </tr>
          </thead>
          <tbody>
            {partsOf(cells).map(({ first, last, figure, notes }) => (
              <tr key={first}>
                <td class="mono">
                  {count(first)}–{count(last)}
                </td>
                <td class="number">{figure}</td>
                <td>{notes === '' ? <span class="faint">–</span> : notes}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
    </details>
  );
}

interface Part {
  readonly first: number;
  readonly last: number;
  readonly figure: string;
  readonly notes: string;
}

function partsOf(cells: Cells): Part[] {
  const size = Math.max(1, Math.ceil(cells.cells / TABLE_ROWS));
  const partOf = cells.mode === 'duration' ? durationPart : statePart;
  return Array.from({ length: Math.ceil(cells.cells / size) }, (_, part) =>
    partOf(cells, part * size, Math.min((part + 1) * size, cells.cells)),
  );
}

function statePart(cells: Cells, from: number, to: number): Part {
  const members = Array.from({ length: to - from }, (_, i) => cellAt(cells, from + i));
  const some = (words: string, isSo: (cell: (typeof members)[number]) => boolean) =>
    members.some(isSo) ? words : null;
  return {
    first: cellAt(cells, from).first,
    last: cellAt(cells, to - 1).last,
    figure: percent(members.reduce((sum, { done }) => sum + done, 0) / members.length),
    notes: [
      some('some in flight', (cell) => cell.isReserved),
      some('some held for long', (cell) => cell.isStraggler),
      some('some wait for a retry', (cell) => cell.isDelayed),
      some('some failed', (cell) => cell.isFailed),
    ]
      .filter((note) => note !== null)
      .join(', '),
  };
}

function durationPart(cells: Cells, from: number, to: number): Part {
  const known = Array.from({ length: to - from }, (_, i) => durationsAt(cells, from + i)).filter(
    ({ meanMs }) => meanMs !== null,
  );
  const meanMs = known.reduce((sum, { meanMs: ms }) => sum + (ms ?? 0), 0) / known.length;
  return {
    first: cellAt(cells, from).first,
    last: cellAt(cells, to - 1).last,
    figure: known.length === 0 ? '–' : duration(meanMs),
    notes: known.length === 0 ? '' : duration(Math.max(...known.map(({ longestMs: ms }) => ms ?? 0))),
  };
}
