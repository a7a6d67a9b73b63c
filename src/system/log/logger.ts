import { isError } from '../../model/kinds.ts';

/** The part of a pino logger that the libraries use, so that a user can hand in any other. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What became of the lines of a log, for metrics. */
export interface LogStats {
  readonly bytesWritten: number;
  /** Bytes that wait to be written. */
  readonly bytesPending: number;
  /** Lines that were given up because they could not be written. */
  readonly linesLost: number;
}

/** The beginning of a text that comes from elsewhere and may be of any length. */
export function clipped(text: string, lengthMax: number): string {
  return text.length > lengthMax ? `${text.slice(0, lengthMax).toWellFormed()}...` : text;
}

/**
 * The logger of a client that is given none: warnings and errors go to stderr the way that Node.js prints warnings
 * (`--no-warnings` and the event `warning` of the process apply), each kind once in the life of the client. What is in
 * brackets, or comes after a colon, does not make another kind.
 */
export class WarningLogger implements Logger {
  readonly #said = new Set<string>();

  debug(): void {}

  info(): void {}

  warn(fields: object, message: string): void {
    const [kind = message] = message.split(/[(:]/, 1);
    if (this.#said.has(kind)) return;
    this.#said.add(kind);
    process.emitWarning([message, ...Object.entries(fields).flatMap(fieldText)].join(' '), 'OpsqueueWarning');
  }

  error(fields: object, message: string): void {
    this.warn(fields, message);
  }
}

const FIELD_LENGTH_MAX = 500;

function fieldText([name, value]: [string, unknown]): readonly string[] {
  // A stack is for logs.
  if (name === 'stack' || value === null || value === undefined) return [];
  const text =
    typeof value === 'object' ? (isError(value) ? value.message : JSON.stringify(value)) : String(value);
  const short = text.slice(0, FIELD_LENGTH_MAX).toWellFormed();
  return [`${name}=${/[\s"=\p{C}]/u.test(short) ? JSON.stringify(short) : short}`];
}

/** What the option `logger` of a client means. */
export function loggerOf(option: Logger | null | undefined): Logger {
  if (option === null) return silentLogger;
  return option ?? new WarningLogger();
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
