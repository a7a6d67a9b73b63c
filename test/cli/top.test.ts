import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Terminal, type TerminalOptions } from '../../src/cli/top/terminal.ts';
import { runCommand } from '../support/command.ts';
import { PROGRAM, TestProcess } from '../support/processes.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

test('plain, it prints what a real queue does; JSON has both answers of the API', async () => {
  await using server = await TestServer.start();
  const id = String(await server.insert('batch', 4, { strategic_metadata: { customer: 42 } }));
  const url = ['--url', `127.0.0.1:${server.port}`];
  const plain = await runCommand(['top', '-b', '-n', '1', ...url]);
  assert.deepEqual([plain.code, plain.stderr], [0, '']);
  assert.match(plain.stdout, /^opsqueue 127\.0\.0\.1:\d+ {2}running /);
  assert.match(plain.stdout, /\n1 submission open, 4 chunks left, /);
  assert.match(plain.stdout, new RegExp(`\\n${id} +waiting +0% .* batch customer=42\\n\\n$`));
  const twice = await runCommand(['top', '--json', '-n', '2', '-d', '100ms', ...url]);
  const frames = twice.stdout.trimEnd().split('\n');
  assert.equal(frames.length, 2);
  const { overview, submissions } = JSON.parse(frames[1]!) as {
    overview: { counts: { chunks_backlog: number } };
    submissions: { id: string }[];
  };
  assert.deepEqual([overview.counts.chunks_backlog, submissions[0]?.id], [4, id]);
});

test('without a terminal or a queue it says what to do, and fails', async () => {
  const interactive = await runCommand(['top']);
  assert.deepEqual([interactive.code, interactive.stdout], [2, '']);
  assert.match(interactive.stderr, /opsqueue top -b prints plain text/);
  const alone = await runCommand(['top', '-b', '--url', '127.0.0.1:1']);
  assert.equal(alone.code, 1);
  assert.match(alone.stderr, /^opsqueue: no answer from the queue/);
});

class FakeEvents extends EventEmitter {
  readonly pid = 7;
  readonly kills: unknown[] = [];
  kill(pid: number, signal: string): void {
    this.kills.push([pid, signal, this.listenerCount('SIGTSTP')]);
  }
}

function fakeTerminal() {
  const clock = new ManualClock();
  const written: string[] = [];
  const modes: boolean[] = [];
  const keys: string[] = [];
  const output = { isTTY: true, columns: 40, rows: 10, write: (text: string) => written.push(text) };
  const keyboard = Object.assign(new EventEmitter(), {
    setRawMode: (isRaw: boolean) => modes.push(isRaw),
    setEncoding() {},
    resume() {},
    pause() {},
  });
  const events = new FakeEvents();
  const options: TerminalOptions = {
    keyboard,
    output,
    events,
    clock,
    hasColour: false,
    screen: ({ columns, rows }) => [{ text: `${columns} x ${rows}`, style: 'critical' }],
    key: (key) => keys.push(key),
    lost: () => keys.push('lost'),
  };
  return { clock, written, modes, keys, output, keyboard, events, terminal: new Terminal(options) };
}

const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';

test('a terminal is drawn at most ten times a second, at its new size when it changes', () => {
  const { clock, written, output, events, terminal } = fakeTerminal();
  for (let ms = 0; ms < 1_000; ms++) {
    terminal.draw();
    clock.advance(1);
  }
  const drawings = () => written.filter((text) => text.startsWith('\x1b[H'));
  assert.ok(drawings().length >= 9 && drawings().length <= 11, String(drawings().length));
  output.columns = 90;
  events.emit('SIGWINCH');
  clock.advance(100);
  assert.equal(drawings().at(-1), '\x1b[H\x1b[1m90 x 10\x1b[0m\x1b[K\x1b[J');
  terminal.end();
});

test('the end of the process, for whatever reason, restores the terminal, once', () => {
  const { clock, written, modes, events, terminal } = fakeTerminal();
  events.emit('exit');
  terminal.end();
  clock.advance(5_000);
  assert.deepEqual([modes, written.at(-1)], [[true, false], LEAVE]);
  assert.equal(written.filter((text) => text === LEAVE).length, 1);
  assert.deepEqual(events.eventNames(), []);
});

test('Ctrl-Z restores the terminal, stops the job, and a continued one is drawn again', () => {
  const { clock, written, modes, keyboard, keys, events, terminal } = fakeTerminal();
  keyboard.emit('data', 'j\x1a');
  assert.deepEqual([keys, modes, written.at(-1)], [['j'], [true, false], LEAVE]);
  assert.deepEqual(events.kills, [[0, 'SIGTSTP', 0]]);
  events.emit('SIGCONT');
  assert.equal(modes.at(-1), true);
  assert.ok(written.at(-1)!.startsWith('\x1b[H'));
  clock.advance(50);
  events.emit('SIGTSTP');
  assert.deepEqual(events.kills[1], [7, 'SIGTSTP', 0]);
  terminal.end();
});

test('on a real terminal, keys find a submission and pause it; q and SIGTERM leave the terminal as it was', async () => {
  await using server = await TestServer.start();
  await server.insert('other', 1);
  const id = String(await server.insert('batch', 4));
  // script(1) gives its command a terminal. Each end is read off what the shell says behind it.
  const top = `"$NODE" "${PROGRAM}" top --url 127.0.0.1:${server.port}`;
  const shell = [
    'before=$(stty -g)',
    `${top}; echo "[q $?]"`,
    `sh -c 'echo $$ > /dev/tty; exec ${top}'; echo "[signal $?]"`,
    '[ "$before" = "$(stty -g)" ] && echo "[as it was]"',
  ].join('\n');
  await using run = new TestProcess('script', ['-qec', shell, '/dev/null'], {
    env: { NODE: process.execPath, TERM: 'xterm', SHELL: '/bin/sh' },
  });
  await run.line(/1049h/);
  await run.line(/no consumer is connected/);
  run.child.stdin!.write('/bat\r');
  await run.line(/filter: bat\b/);
  await run.line(/row 1 of 1/);
  run.child.stdin!.write('\r');
  await run.line(new RegExp(`submission ${id}, queue -: waiting {2}batch`));
  run.child.stdin!.write('P');
  await run.line(new RegExp(`pause submission ${id}\\? y yes`));
  run.child.stdin!.write('y');
  await run.line(new RegExp(`pause ${id}: done`));
  run.child.stdin!.write('q');
  await run.line(/\[q 0\]/);
  const pid = Number((await run.line(/^(\d+)\s*$/))[1]);
  await run.lines(/1049h/, 2);
  process.kill(pid, 'SIGTERM');
  await run.line(/\[signal 143\]/);
  await run.line(/\[as it was\]/);
  assert.equal(run.output('stdout').split(LEAVE).length, 3);
});
