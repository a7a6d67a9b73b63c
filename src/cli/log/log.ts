import { inspect } from 'node:util';
import { pino } from 'pino';
import type { Logger, LogStats } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { Output } from '../io.ts';
import { visible } from '../text.ts';
import { LogSink, type LogWriter } from './sink.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LEVELS)[number];

/** Reads OPSQUEUE_LOG; null if it is no level. */
export function logLevel(text: string | undefined): LogLevel | null {
  if (text === undefined || text === '') return 'info';
  return LEVELS.find((level) => level === text.toLowerCase()) ?? null;
}

export const LOG_LEVELS = LEVELS.join(', ');

/** The log of a server. */
export interface ServerLog {
  readonly logger: Logger;
  readonly stats: LogStats;
  /** Before the process ends: what can be written is, within `graceMs`. */
  flush(graceMs: number): Promise<void>;
}

/**
 * The log of a server, on stderr: a line for people where that is a terminal, pino's JSON everywhere else. It never
 * holds up the event loop, whatever becomes of stderr ({@link LogSink}).
 */
export function openLog(
  level: LogLevel,
  { writer, isTTY, clock }: { readonly writer: LogWriter; readonly isTTY: boolean; readonly clock: Clock },
): ServerLog {
  const sink = new LogSink({
    writer,
    clock,
    recovered: (lines) => logger.warn({ lines }, 'log lines were lost: stderr could not be written'),
  });
  const logger: Logger = isTTY ? new TerminalLogger(level, sink, clock) : pino({ level, base: null }, sink);
  return { logger, stats: sink, flush: (graceMs) => sink.flush(graceMs) };
}

/** `22:36:27 warn  the message field=value`. */
export class TerminalLogger implements Logger {
  readonly #least: number;
  readonly #output: Output;
  readonly #clock: Clock;

  constructor(level: LogLevel, output: Output, clock: Clock) {
    this.#least = LEVELS.indexOf(level);
    this.#output = output;
    this.#clock = clock;
  }

  debug(fields: object, message: string): void {
    this.#write('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#write('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#write('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#write('error', fields, message);
  }

  #write(level: LogLevel, fields: object, message: string): void {
    if (LEVELS.indexOf(level) < this.#least) return;
    const time = new Date(this.#clock.nowMs()).toTimeString().slice(0, 8);
    const told = Object.entries(fields).map(([name, value]) => ` ${name}=${fieldText(value)}`);
    this.#output.write(`${time} ${level.padEnd(5)} ${message}${told.join('')}\n`);
  }
}

function fieldText(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"=\p{C}]+$/u.test(value)) return value;
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Error) return visible(JSON.stringify(value.message));
  return visible(inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 3 }));
}
