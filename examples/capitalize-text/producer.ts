import { readFile } from 'node:fs/promises';
import { ProducerClient } from 'opsqueue/producer';

const producer = new ProducerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/capitalize-text/',
);

// Every word is an operation; the space behind it stays on, so that the results are the text again: this program's own,
// or that of the file which the command line names.
const text = await readFile(process.argv[2] ?? import.meta.filename, 'utf8');
const words = text.split(/(?<=\s)(?=\S)/);

for await (const word of producer.runSubmission<string>(words, { chunkSize: 40 })) {
  process.stdout.write(word);
}
await producer.close();
