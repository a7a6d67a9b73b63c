import { inspect } from 'node:util';
import { destination, pino } from 'pino';
import type { Clock, Logger } from '../server/index.ts';
import type { Output } from './io.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LEVELS)[number];

/** Reads OPSQUEUE_LOG; null if it is no level. */
export function logLevel(text: string | undefined): LogLevel | null {
  if (text === undefined || text === '') return 'info';
  return LEVELS.find((level) => level === text.toLowerCase()) ?? null;
}

export const LOG_LEVELS = LEVELS.join(', ');

/** The log of a server, on stderr: a line for people where that is a terminal, pino's JSON everywhere else. */
export function makeLogger(level: LogLevel, stderr: Output, clock: Clock): Logger {
  if (stderr.isTTY) return new TerminalLogger(level, stderr, clock);
  // Synchronous, so that the last words of a process that ends are not lost.
  return pino({ level, base: null }, destination({ fd: 2, sync: true }));
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
  if (typeof value === 'string' && /^[^\s"=]+$/.test(value)) return value;
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Error) return JSON.stringify(value.message);
  return inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 3 });
}
