import { readFile } from 'node:fs/promises';
import { ProducerClient } from 'opsqueue/producer';

const producer = new ProducerClient<string, string>(
  process.env.OPSQUEUE_URL ?? 'localhost:3999/q/words',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/capitalize-text/',
);

// Every word is an operation. The space after a word stays on it, so the results joined together are the text again.
const text = await readFile(process.argv[2] ?? import.meta.filename, 'utf8');
const words = text.split(/(?<=\s)(?=\S)/);

for await (const word of producer.runSubmission(words, { chunkSize: 40 })) {
  process.stdout.write(word);
}
await producer.close();
