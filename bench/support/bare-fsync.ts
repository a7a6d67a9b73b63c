import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The bound of every commit: how long writing 4 kB at the end of a file and an fsync take, in milliseconds each. */
export function bareFsyncsMs(times: number, folder = tmpdir()): number[] {
  const temporary = mkdtempSync(join(folder, 'opsqueue-fsync-'));
  const file = openSync(join(temporary, 'file'), 'w');
  const bytes = new Uint8Array(4096).fill(7);
  const taken: number[] = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    writeSync(file, bytes);
    fsyncSync(file);
    taken.push(performance.now() - began);
  }
  closeSync(file);
  rmSync(temporary, { recursive: true });
  return taken;
}
