import type { Writable } from 'node:stream';
import type { LogWriter } from './log/sink.ts';

/** The streams of a command, handed in by main.ts. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** What a log goes to that must not hold up the process: stderr, or nowhere if there is none. */
  logWriter?(): LogWriter;
  /** From here on the process goes on when stdout cannot be written: it is not what the process is for. */
  outliveStdout?(): void;
}

/** Where text goes. `columns`, `rows` and `isTTY` are set where it is a terminal. */
export interface Output {
  /** `done` hears of a failure, where the output can fail. */
  write(text: string, done?: (error?: Error | null) => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** Resolves when the text was taken: what writes a lot waits for its reader. */
export function written(output: Output, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** Columns of the terminal, or `whereUnknown`: also for one that tells a width of 0, as some consoles do. */
export function columnsOf(output: Output, whereUnknown: number): number {
  return output.columns !== undefined && output.columns > 0 ? output.columns : whereUnknown;
}

/**
 * What a failing stdout means to a command whose output it is. A reader that went away (`opsqueue ... | head`) is no
 * error; anything else, such as a full disk, is.
 */
export function onStdoutLost(
  stream: Writable,
  { readerGone, failed }: { readerGone(): void; failed(error: Error): void },
): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') readerGone();
    else failed(error);
  });
}
