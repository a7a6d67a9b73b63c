import { runProgram } from '../../src/cli/program.ts';

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line inside this process, which takes milliseconds; for those that neither serve nor read signals. */
export async function runCommand(args: readonly string[]): Promise<Said> {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const outputTo = (written: string[]) => ({
    write(text: string, done?: () => void) {
      written.push(text);
      done?.();
    },
  });
  const code = await runProgram(args, { stdout: outputTo(stdout), stderr: outputTo(stderr) });
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}
