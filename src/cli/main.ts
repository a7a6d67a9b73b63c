/** What bin/opsqueue.js runs. */
import { onStdoutLost } from './io.ts';
import { stderrWriter } from './log/writer.ts';
import { runProgram } from './program.ts';

const { stdout, stderr } = process;

// Node.js would open its debugger to every program on this machine.
process.on('SIGUSR1', () => {});

// Whoever cannot hear why a command failed still has its status.
stderr.on('error', () => {});
let isStdoutNeeded = true;
const hasEffect = process.argv.includes('--delete') || process.argv[2] === 'move';
onStdoutLost(stdout, {
  // Whoever deletes or moves and loses its reader has not done all that it was told.
  readerGone: () => isStdoutNeeded && process.exit(hasEffect ? 1 : 0),
  failed(error) {
    if (!isStdoutNeeded) return;
    stderr.write(`opsqueue: cannot write to stdout: ${error.message}\n`, () => process.exit(1));
  },
});

const status = await runProgram(process.argv.slice(2), {
  stdout,
  stderr,
  logWriter: () => stderrWriter(stderr),
  outliveStdout() {
    isStdoutNeeded = false;
  },
});
// A pipe may still hold the end of the output: only what was written may end the process. What
// cannot be written ends it above.
stdout.write('', (error) => {
  if (!error || !isStdoutNeeded) process.exit(status);
});
