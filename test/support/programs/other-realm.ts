/**
 * Producer and consumer in another realm than Node's own libraries, as Jest and `vitest --pool=vmThreads` run them:
 * `node --experimental-vm-modules other-realm.ts QUEUE STORE`. Prints the results as JSON.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import vm from 'node:vm';

const context = vm.createContext({});
for (const name of Object.getOwnPropertyNames(globalThis)) {
  if (name in context || vm.runInContext(`'${name}' in globalThis`, context)) continue;
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, name);
  if (descriptor !== undefined) Object.defineProperty(context, name, descriptor);
}

const modules = new Map<string, Promise<vm.Module>>();

function load(url: string): Promise<vm.Module> {
  let module = modules.get(url);
  if (module === undefined) {
    module = url.startsWith('file:') && !url.includes('/node_modules/') ? ours(url) : theirs(url);
    modules.set(url, module);
  }
  return module;
}

async function ours(url: string): Promise<vm.Module> {
  const code = stripTypeScriptTypes(readFileSync(new URL(url), 'utf8'));
  return new vm.SourceTextModule(code, {
    identifier: url,
    context,
    initializeImportMeta: (meta) => {
      meta.url = url;
    },
    importModuleDynamically: async (specifier: string) => ready(resolve(specifier, url)),
  });
}

async function theirs(url: string): Promise<vm.Module> {
  const exported = await import(url);
  const names = Object.keys(exported);
  const module = new vm.SyntheticModule(
    names,
    () => {
      for (const name of names) module.setExport(name, exported[name]);
    },
    { identifier: url, context },
  );
  return module;
}

function resolve(specifier: string, from: string): string {
  return specifier.startsWith('.') ? new URL(specifier, from).href : import.meta.resolve(specifier);
}

async function ready(url: string): Promise<vm.Module> {
  const module = await load(url);
  if (module.status === 'unlinked') {
    await module.link((specifier, from) => load(resolve(specifier, from.identifier)));
  }
  await module.evaluate();
  return module;
}

const [queue, store] = process.argv.slice(2);
const { namespace: producers } = await ready(new URL('../../../src/producer/index.ts', import.meta.url).href);
const { namespace: consumers } = await ready(new URL('../../../src/consumer/index.ts', import.meta.url).href);
Object.assign(context, { ...producers, ...consumers, queue, store });
const script = `(async () => {
  const producer = new ProducerClient(queue, store);
  const consumer = new ConsumerClient(queue, store);
  const run = consumer.runEachOp((op) => {
    if (op === 1) throw new TypeError('one');
    return op;
  }, { onOpError: 'record' });
  const ops = [1, new Date(0), new Map([[1, 2]]), new Set([3]), new Uint8Array([4]), { a: [5n] }, made];
  const results = await Array.fromAsync(producer.runSubmission(ops, { chunkSize: 2, cleanup: 'after-results' }));
  await consumer.stop();
  await run;
  await producer.close();
  return results;
})()`;
// What Node itself makes is of the outer realm.
Object.assign(context, { made: { at: new Date(1), bytes: Buffer.from('b'), map: new Map([[6, 7]]) } });
const results = await vm.runInContext(script, context);
const { inspect } = await import('node:util');
console.log(
  JSON.stringify(results.map((result: unknown) => inspect(result, { depth: 5, breakLength: 1e9 }))),
);
