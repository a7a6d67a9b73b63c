import type { Clock, Timer } from '../../system/time/clock.ts';
import { columnsOf, type Output } from '../io.ts';
import { keysOf } from './keys.ts';
import type { ScreenLine, Size, Style } from './state.ts';

/** The keys of a terminal: `process.stdin`. */
export interface Keyboard {
  setRawMode(isRaw: boolean): unknown;
  setEncoding(encoding: 'utf8'): unknown;
  resume(): unknown;
  pause(): unknown;
  on(event: 'data', listener: (text: string) => void): unknown;
  on(event: 'end' | 'error', listener: () => void): unknown;
}

/** What a terminal does to the process that has it. `exit`: the process ends, whatever for. */
export interface TerminalEvents {
  on(event: TerminalEvent, listener: () => void): unknown;
  off(event: TerminalEvent, listener: () => void): unknown;
  readonly pid: number;
  kill(pid: number, signal: 'SIGTSTP'): unknown;
}
type TerminalEvent = 'SIGTSTP' | 'SIGCONT' | 'SIGWINCH' | 'exit';

export interface TerminalOptions {
  readonly keyboard: Keyboard;
  readonly output: Output;
  readonly events: TerminalEvents;
  readonly clock: Clock;
  readonly hasColour: boolean;
  /** What is to be seen now. */
  screen(size: Size): readonly ScreenLine[];
  key(key: string): void;
  /** The terminal has gone. */
  lost(): void;
}

const FRAME_MS = 100;
/** Times that are shown, such as since when the queue is silent, go on. */
const TICK_MS = 1000;
/** A process that nobody can bring back to the foreground is not stopped: then it goes on by itself. */
const STOPPED_MS = 50;
const CTRL_Z = '\x1a';
/** The screen that programs have to themselves, no cursor, and lines that are cut instead of wrapped. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';
const COLOURS: Readonly<Partial<Record<Style, string>>> = {
  critical: '\x1b[1;31m',
  warning: '\x1b[33m',
  good: '\x1b[32m',
};
const SHADES: Readonly<Partial<Record<Style, string>>> = {
  title: '\x1b[1m',
  critical: '\x1b[1m',
  faint: '\x1b[2m',
  selected: '\x1b[7m',
};

/**
 * A terminal that shows full screens, ten a second at most. It is shown (has the alternate screen and raw keys) or hidden
 * (is as it was before); `end` and the end of the process hide it for good, Ctrl-Z until the process is continued.
 */
export class Terminal implements Disposable {
  readonly #options: TerminalOptions;
  readonly #listeners: readonly (readonly [TerminalEvent, () => void])[];
  #isShown = false;
  #hasEnded = false;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | null = null;

  constructor(options: TerminalOptions) {
    this.#options = options;
    const { keyboard, events } = options;
    this.#listeners = [
      ['SIGTSTP', () => this.#suspend(events.pid)],
      ['SIGCONT', () => this.#show()],
      ['SIGWINCH', () => this.draw()],
      ['exit', () => this.end()],
    ];
    keyboard.setEncoding('utf8');
    keyboard.on('data', (text) => {
      for (const key of keysOf(text)) this.#press(key);
    });
    for (const event of ['end', 'error'] as const) keyboard.on(event, () => options.lost());
    for (const [event, listener] of this.#listeners) events.on(event, listener);
    this.#show();
  }

  /** Draws soon: at once, unless the last drawing was just now. */
  draw(): void {
    if (!this.#isShown) return;
    const { clock } = this.#options;
    this.#timer?.cancel();
    const waitMs = this.#drawnAtMs + FRAME_MS - clock.monotonicMs();
    if (waitMs > 0) this.#timer = clock.after(waitMs, () => this.#drawNow());
    else this.#drawNow();
  }

  /** Leaves the terminal as it was found. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hide();
    this.#hasEnded = true;
    for (const [event, listener] of this.#listeners) this.#options.events.off(event, listener);
  }

  [Symbol.dispose](): void {
    this.end();
  }

  #press(key: string): void {
    if (this.#hasEnded) return;
    // Of the whole foreground job, as the terminal does it when its keys are not raw.
    if (key === CTRL_Z) this.#suspend(0);
    else this.#options.key(key);
  }

  #show(): void {
    if (this.#hasEnded) return;
    const { keyboard, output } = this.#options;
    // Whoever was stopped without having been asked: the shell has set the keys of the terminal, unseen.
    if (this.#isShown) keyboard.setRawMode(false);
    keyboard.setRawMode(true);
    keyboard.resume();
    output.write(ENTER);
    this.#isShown = true;
    this.#drawNow();
  }

  #hide(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#timer?.cancel();
    this.#options.keyboard.setRawMode(false);
    this.#options.keyboard.pause();
    this.#options.output.write(LEAVE);
  }

  #suspend(pid: number): void {
    const { events, clock } = this.#options;
    const [name, listener] = this.#listeners[0]!;
    this.#hide();
    // Without a listener the signal does what it does to any process.
    events.off(name, listener);
    events.kill(pid, 'SIGTSTP');
    clock.after(STOPPED_MS, () => {
      if (this.#hasEnded) return;
      events.on(name, listener);
      this.#show();
    });
  }

  #drawNow(): void {
    const { clock, output, screen } = this.#options;
    this.#timer?.cancel();
    this.#drawnAtMs = clock.monotonicMs();
    this.#timer = clock.after(TICK_MS, () => this.#drawNow());
    const size = { columns: columnsOf(output, 80), rows: output.rows || 24 };
    const lines = screen(size).map((line) => `${this.#styled(line)}\x1b[K`);
    // In one piece, over what is there: nothing flickers.
    output.write(`\x1b[H${lines.join('\r\n')}\x1b[J`);
  }

  #styled({ text, style }: ScreenLine): string {
    const code = (this.#options.hasColour ? COLOURS[style] : undefined) ?? SHADES[style];
    return code === undefined ? text : `${code}${text}\x1b[0m`;
  }
}
