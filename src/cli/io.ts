import type { Writable } from 'node:stream';

/** The streams of a command, handed in by main.ts. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Where text goes. `columns` and `isTTY` are set where it is a terminal. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Columns of the terminal, or `whereUnknown`: also for one that tells a width of 0, as some consoles do. */
export function columnsOf(output: Output, whereUnknown: number): number {
  return output.columns !== undefined && output.columns > 0 ? output.columns : whereUnknown;
}

/** A reader that went away (`opsqueue ... | head`) is no error: the command ends in silence. */
export function endWhenReaderIsGone(stream: Writable, end: () => void): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') end();
    else throw error;
  });
}
