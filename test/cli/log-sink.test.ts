import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLog } from '../../src/cli/log/log.ts';
import { LogSink, type LogWriteError, type LogWriter } from '../../src/cli/log/sink.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const FULL_DISK: LogWriteError = { isFinal: false, isFull: false };
const FULL_PIPE: LogWriteError = { isFinal: false, isFull: true };
const READER_GONE: LogWriteError = { isFinal: true, isFull: false };

/** Answers when it is told to. */
class HeldWriter implements LogWriter {
  readonly written: string[] = [];
  #held: { readonly text: string; readonly done: (result: number | LogWriteError) => void } | null = null;

  write(bytes: Uint8Array, done: (result: number | LogWriteError) => void): void {
    assert.equal(this.#held, null, 'one call at a time');
    this.#held = { text: Buffer.from(bytes).toString(), done };
  }

  get isHeld(): boolean {
    return this.#held !== null;
  }

  answer(result: number | 'all' | LogWriteError): void {
    const { text, done } = this.#held!;
    this.#held = null;
    if (typeof result === 'object') {
      done(result);
      return;
    }
    const bytes = result === 'all' ? text.length : result;
    this.written.push(text.slice(0, bytes));
    done(bytes);
  }
}

function scene(pendingBytesMax?: number) {
  const [clock, writer] = [new ManualClock(), new HeldWriter()];
  const recovered: number[] = [];
  const sink = new LogSink({ writer, clock, pendingBytesMax, recovered: (lines) => recovered.push(lines) });
  return { clock, writer, recovered, sink };
}

test('lines that come while one is written go together, in their order', () => {
  const { writer, sink } = scene();
  for (const line of ['a\n', 'b\n', 'c\n']) sink.write(line);
  writer.answer('all');
  writer.answer(1);
  writer.answer('all');
  assert.deepEqual(writer.written, ['a\n', 'b', '\nc\n']);
  assert.equal(writer.isHeld, false);
  assert.deepEqual([sink.bytesWritten, sink.bytesPending, sink.linesLost], [6, 0, 0]);
});

test('what finds no room waits, and is lost beyond the limit; when it works again that is said once', () => {
  const { clock, writer, recovered, sink } = scene(6);
  for (const line of ['a\n', 'b\n', 'c\n', 'd\n', 'e\n']) sink.write(line);
  writer.answer(FULL_DISK);
  assert.deepEqual([sink.bytesPending, sink.linesLost, writer.isHeld], [6, 2, false]);
  clock.advance(1000);
  writer.answer(1);
  assert.deepEqual(recovered, [2]);
  writer.answer(FULL_PIPE);
  clock.advance(50);
  writer.answer('all');
  writer.answer('all');
  assert.deepEqual(writer.written.join(''), 'a\nb\nc\n');
  assert.deepEqual(recovered, [2]);
});

test('a reader that has gone loses everything, and costs no more calls', () => {
  const { clock, writer, sink } = scene();
  sink.write('a\n');
  sink.write('b\n');
  writer.answer(READER_GONE);
  sink.write('c\n');
  clock.advance(10_000);
  assert.deepEqual([sink.bytesPending, sink.linesLost, writer.isHeld], [0, 3, false]);
});

test('the last lines are written before the end, and a pipe that is not read holds it up for the grace only', async () => {
  const { clock, writer, sink } = scene();
  await sink.flush(200);
  sink.write('a\n');
  const flushed = sink.flush(200);
  writer.answer('all');
  await flushed;
  sink.write('b\n');
  const stuck = sink.flush(200);
  clock.advance(200);
  await stuck;
  writer.answer(FULL_DISK);
  const full = sink.flush(200);
  writer.answer(FULL_DISK);
  await full;
});

test('lost lines are a warning in the log itself, on a terminal and elsewhere', () => {
  for (const isTTY of [true, false]) {
    const [clock, writer] = [new ManualClock(), new HeldWriter()];
    const { logger, stats } = openLog('info', { writer, isTTY, clock });
    for (let i = 0; i < 3; i++) logger.info({ text: 'x'.repeat(100_000) }, 'long');
    writer.answer('all');
    while (writer.isHeld) writer.answer('all');
    assert.equal(stats.linesLost, 1);
    assert.match(
      writer.written.at(-1)!,
      isTTY ? /warn {2}log lines were lost.*lines=1\n$/ : /"lines":1,"msg":"log lines were lost/,
    );
  }
});
