import type { Clock } from '../system/time/clock.ts';
import { columnsOf, type Output } from './io.ts';
import { grouped, percentText, rateText, timeText } from './text.ts';

/** How far a piece of work is. */
export interface ProgressState {
  readonly done: number;
  readonly total: number;
  /** Of these, what failed and is not done. Default none. */
  readonly failed?: number | undefined;
  /** What is counted: `chunks`, `files`. */
  readonly unit: string;
  /** Of these units; null while it is not known. */
  readonly perSecond: number | null;
  /** null while it is not known. */
  readonly msLeft: number | null;
}

const REDRAW_MS = 100;
const PLAIN_LINE_MS = 5000;
const BAR_CELLS_MAX = 40;

/** Shows progress: a bar that is redrawn in place on a terminal, a plain line every few seconds elsewhere. */
export class ProgressLine {
  readonly #output: Output;
  readonly #clock: Clock;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #isOnScreen = false;
  /** What came too soon after the last drawing. */
  #undrawn: ProgressState | null = null;

  constructor(output: Output, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
  }

  /** Call it as often as there is news; it draws no more than the eye wants. */
  show(state: ProgressState): void {
    const everyMs = this.#output.isTTY ? REDRAW_MS : PLAIN_LINE_MS;
    const nowMs = this.#clock.monotonicMs();
    this.#undrawn = state;
    if (nowMs - this.#shownAtMs < everyMs) return;
    this.#shownAtMs = nowMs;
    this.#draw(state);
  }

  /** Draws the last state, whatever the time, and ends the line. */
  finish(): void {
    if (this.#undrawn !== null) this.#draw(this.#undrawn);
    if (this.#isOnScreen) this.#output.write('\n');
    this.#isOnScreen = false;
  }

  #draw(state: ProgressState): void {
    this.#undrawn = null;
    if (!this.#output.isTTY) {
      this.#output.write(`${progressText(state)}\n`);
      return;
    }
    this.#output.write(`\r${progressBar(state, columnsOf(this.#output, 80))}\x1b[K`);
    this.#isOnScreen = true;
  }
}

/** `1,200 of 4,633 files (25.9 %), 3 failed, 850 files/s, 4 s left`. */
export function progressText({ done, failed = 0, total, unit, perSecond, msLeft }: ProgressState): string {
  const parts = [
    `${grouped(done)} of ${grouped(total)} ${unit} (${percentText(total === 0 ? 1 : done / total)})`,
  ];
  if (failed > 0) parts.push(`${grouped(failed)} failed`);
  if (perSecond !== null) parts.push(`${rateText(perSecond)} ${unit}/s`);
  if (msLeft !== null && done + failed < total) parts.push(`${timeText(msLeft)} left`);
  return parts.join(', ');
}

/** The text behind a bar; it fits into `columns`, the bar giving way first. */
export function progressBar(state: ProgressState, columns: number): string {
  const text = progressText(state);
  const room = Math.min(columns - text.length - 4, BAR_CELLS_MAX);
  if (room < 5) return text.slice(0, Math.max(columns - 1, 0));
  const full = state.total === 0 ? room : Math.floor((room * state.done) / state.total);
  return `[${'#'.repeat(full)}${'-'.repeat(room - full)}] ${text}`;
}
