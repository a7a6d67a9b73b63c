/** What a queue's name must look like: it stands in paths, in labels of metrics, and in the log. */
const QUEUE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** The same in words, for errors. */
export const QUEUE_NAME_RULE =
  '1 to 63 of a-z, 0-9, dots, underscores and hyphens, beginning with a letter or a digit';

/** The unnamed queue, '' inside, where a list of names has it. */
export const UNNAMED_QUEUE = '-';

export function isQueueName(name: string): boolean {
  return QUEUE_NAME.test(name);
}

/** How a log line names a queue: not at all where there is only the unnamed one. */
export function queueField(queue: string): { readonly queue?: string } {
  return queue === '' ? {} : { queue };
}

/** How texts for people call a queue. */
export function queueText(name: string): string {
  return name === '' ? 'the unnamed queue' : `queue ${name}`;
}

/** How lists and requests that name a queue call it. */
export function listedQueue(name: string): string {
  return name === '' ? UNNAMED_QUEUE : name;
}
