import { constants, fstatSync, openSync, write } from 'node:fs';
import type { Writable } from 'node:stream';
import type { LogWriteError, LogWriter } from './sink.ts';

const STDERR = 2;

/**
 * Writes to stderr without ever holding up the event loop:
 *
 * - a pipe or a socket through `stream` (process.stderr), which does not block for them;
 * - everything else by calls on threads of libuv. Where it can be opened once more so that no call waits (a terminal
 *   that was stopped with Ctrl-S), it is: a thread that waits would hold up the end of the process.
 */
export function stderrWriter(stream: Writable): LogWriter {
  const kind = fstatSync(STDERR, { throwIfNoEntry: false });
  if (kind === undefined || kind.isFIFO() || kind.isSocket()) return new StreamWriter(stream);
  return new DescriptorWriter(kind.isCharacterDevice() ? openedWithoutWaiting() : STDERR);
}

/** The same terminal or device; a descriptor of its own, because the flag is shared with other processes. */
function openedWithoutWaiting(): number {
  try {
    return openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return STDERR;
  }
}

class DescriptorWriter implements LogWriter {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(bytes: Uint8Array, done: (result: number | LogWriteError) => void): void {
    write(this.#fd, bytes, (error, bytesWritten) => done(error === null ? bytesWritten : failure(error)));
  }
}

class StreamWriter implements LogWriter {
  readonly #stream: Writable;

  constructor(stream: Writable) {
    this.#stream = stream;
    // Each write hears of its own failure.
    stream.on('error', () => {});
  }

  write(bytes: Uint8Array, done: (result: number | LogWriteError) => void): void {
    // A stream that failed once is destroyed.
    this.#stream.write(bytes, (error) => done(error ? { isFinal: true, isFull: false } : bytes.length));
  }
}

function failure({ code }: NodeJS.ErrnoException): LogWriteError {
  return { isFinal: code === 'EPIPE' || code === 'EBADF', isFull: code === 'EAGAIN' };
}
