/** How a log line names a queue: not at all where there is only the unnamed one. */
export function queueField(queue: string): { readonly queue?: string } {
  return queue === '' ? {} : { queue };
}
