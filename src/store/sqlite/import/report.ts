/** What was taken over from a database of the original opsqueue. */
export interface ImportReport {
  readonly open: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Chunks of the open ones, and how many of them are done. */
  readonly chunksTotal: number;
  readonly chunksDone: number;
  /** The file as it was. */
  readonly backup: string;
}

/** One line for the log. */
export function describeImport(path: string, report: ImportReport): string {
  const { open, completed, failed, cancelled, chunksTotal, chunksDone, backup } = report;
  return (
    `took over the database of the original opsqueue in ${path}: ${open} submissions in progress (${chunksDone} of ` +
    `${chunksTotal} chunks done), ${completed} completed, ${failed} failed, ${cancelled} cancelled; ` +
    `the file as it was is ${backup}`
  );
}
