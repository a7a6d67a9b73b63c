/** What bin/opsqueue.js runs. */
import { endWhenReaderIsGone } from './io.ts';
import { runProgram } from './program.ts';

// Whoever deletes and loses its reader has not done all that it was told.
const statusWithoutReader = process.argv.includes('--delete') ? 1 : 0;
for (const stream of [process.stdout, process.stderr]) {
  endWhenReaderIsGone(stream, () => process.exit(statusWithoutReader));
}

const status = await runProgram(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr });
// A pipe may still hold the end of the output: only what was written may end the process.
process.stdout.write('', () => process.exit(status));
