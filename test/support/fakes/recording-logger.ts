import type { Logger } from '../../../src/system/log/logger.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
}

export interface RecordingLogger extends Logger {
  readonly lines: readonly LogLine[];
  /** The first line whose message matches, as soon as it is there. */
  line(pattern: RegExp): Promise<LogLine>;
}

/** Keeps what was logged. */
export function recordingLogger(): RecordingLogger {
  const lines: LogLine[] = [];
  const waiting = new Set<(line: LogLine) => void>();
  const keep = (level: LogLine['level']) => (fields: object, message: string) => {
    const line = { level, fields, message };
    lines.push(line);
    for (const tell of waiting) tell(line);
  };
  const line = (pattern: RegExp) =>
    new Promise<LogLine>((resolve) => {
      const tell = (each: LogLine) => {
        if (!pattern.test(each.message)) return;
        waiting.delete(tell);
        resolve(each);
      };
      const found = lines.find(({ message }) => pattern.test(message));
      if (found === undefined) waiting.add(tell);
      else resolve(found);
    });
  return { lines, line, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
}
