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

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
