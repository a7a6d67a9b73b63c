/** A consumer to measure, in a process of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface MeasuredConsumer {
  readonly pid: number;
  stop(): Promise<void>;
}

/** Resolves once it has asked for work. */
export async function startConsumer(
  url: string,
  objects: string,
  latencyMs: number,
): Promise<MeasuredConsumer> {
  const program = fileURLToPath(new URL('./consumer-program.ts', import.meta.url));
  const profile = process.env.CONSUMER_PROFILE;
  const child = fork(program, [url, objects, String(latencyMs)], {
    stdio: 'inherit',
    execArgv: profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile],
  });
  await once(child, 'message');
  return {
    pid: child.pid!,
    async stop() {
      const exited = once(child, 'exit');
      child.send('stop');
      await exited;
    },
  };
}
