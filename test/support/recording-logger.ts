import type { Logger } from '../../src/system/logger.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
}

export type RecordingLogger = Logger & { readonly lines: readonly LogLine[] };

/** Keeps what was logged. */
export function recordingLogger(): RecordingLogger {
  const lines: LogLine[] = [];
  const keep = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  return { lines, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
}
