import { Counter, Gauge, type Registry } from 'prom-client';
import { VERSION } from '../../model/version.ts';
import type { LogStats } from '../../system/log/logger.ts';
import { descriptorsMax, descriptorsOpen } from '../../system/process/descriptors.ts';
import type { Clock } from '../../system/time/clock.ts';
import { addCounter, addGauge } from './register.ts';

export interface ProcessMetricsOptions {
  readonly clock: Clock;
  /** Connections that were closed as they came, by reason. */
  readonly connectionsRejected: Readonly<Record<string, number>>;
  readonly logStats?: LogStats | undefined;
}

/** What the process is and takes, under the usual names of Prometheus' clients where there are such. */
export function registerProcess(registry: Registry, options: ProcessMetricsOptions): void {
  const { clock, logStats } = options;
  const startedSeconds = clock.nowMs() / 1000 - process.uptime();
  addGauge(
    registry,
    'process_start_time_seconds',
    'When this process started, in seconds since 1970',
    () => startedSeconds,
  );
  addGauge(registry, 'process_resident_memory_bytes', 'Memory of this process that is in RAM', () =>
    process.memoryUsage.rss(),
  );
  registerDescriptors(registry);
  new Gauge({
    name: 'build_info',
    help: '1; the labels say which opsqueue this is, and on what it runs',
    labelNames: ['version', 'node_version'],
    registers: [registry],
  }).set({ version: VERSION, node_version: process.version }, 1);
  new Counter({
    name: 'connections_rejected_total',
    help: 'Connections that were closed as they came: at the limit of connections, almost out of file descriptors, or by an error of the system',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(options.connectionsRejected)) this.inc({ reason }, count);
    },
  });
  if (logStats !== undefined) registerLog(registry, logStats);
}

/** Nothing where the system does not tell. */
function registerDescriptors(registry: Registry): void {
  const most = descriptorsMax();
  if (most === null) return;
  addGauge(registry, 'process_max_fds', 'File descriptors that this process may have open', () => most);
  new Gauge({
    name: 'process_open_fds',
    help: 'File descriptors that this process has open',
    registers: [registry],
    async collect() {
      const open = await descriptorsOpen();
      if (open !== null) this.set(open);
    },
  });
}

function registerLog(registry: Registry, log: LogStats): void {
  addCounter(
    registry,
    'log_written_bytes_total',
    'Bytes of the log that were written',
    () => log.bytesWritten,
  );
  addCounter(
    registry,
    'log_lines_lost_total',
    'Lines of the log that were given up because stderr could not be written',
    () => log.linesLost,
  );
  addGauge(registry, 'log_pending_bytes', 'Bytes of the log that wait to be written', () => log.bytesPending);
}
