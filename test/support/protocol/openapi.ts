import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { ValidateFunction } from 'ajv';
import { ROOT } from '../processes.ts';

// docs/openapi.json, and whether an answer is as it says.

interface Response {
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
  readonly $ref?: string;
}

export interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: Readonly<Record<string, unknown>>;
  }[];
  readonly responses: Readonly<Record<string, Response>>;
}

export interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly responses: Readonly<Record<string, Response>>;
    readonly schemas: Readonly<Record<string, object>>;
  };
}

let document: OpenApi | null = null;

export function openapi(): OpenApi {
  document ??= JSON.parse(readFileSync(`${ROOT}docs/openapi.json`, 'utf8')) as OpenApi;
  return document;
}

/** Those with fewest variable segments come first. */
let templates: readonly { readonly path: string; readonly pattern: RegExp }[] | null = null;
const validators = new Map<string, ValidateFunction>();

function pathOf(requestPath: string): string | null {
  templates ??= Object.keys(openapi().paths)
    .toSorted((a, b) => a.split('{').length - b.split('{').length)
    .map((path) => ({ path, pattern: new RegExp(`^${path.replace(/\{[a-z_]+\}/g, '[^/]+')}$`) }));
  const plain = requestPath.replace(/\?.*$/s, '').replace(/^\/q\/[^/]*/, '');
  return templates.find(({ pattern }) => pattern.test(plain))?.path ?? null;
}

export interface DescribedAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** @param line `GET /path?query` */
export async function assertDescribed(line: string, answer: DescribedAnswer): Promise<void> {
  const [method = '', target = ''] = line.split(' ');
  const path = pathOf(target);
  const operation = path === null ? undefined : openapi().paths[path]?.[method.toLowerCase()];
  // What is not there, or not with this method, is refused without a word; see its own tests.
  if (path === null || operation === undefined || answer.status === 304) return;
  const { responses } = operation;
  const key = [String(answer.status), `${Math.floor(answer.status / 100)}XX`].find(
    (each) => each in responses,
  );
  assert.ok(key !== undefined, `docs/openapi.json has no ${answer.status} of ${method} ${path}`);
  const given = responses[key]!;
  const response =
    given.$ref === undefined ? given : openapi().components.responses[given.$ref.split('/').at(-1)!]!;
  if (answer.body.length === 0) return;
  const type = answer.headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
  const media = response.content?.[type];
  assert.ok(
    media !== undefined,
    `docs/openapi.json has no ${type} for ${answer.status} of ${method} ${path}`,
  );
  if (media.schema === undefined || type === 'application/cbor') return;
  const validate = await validatorOf(`${method} ${path} ${key} ${type}`, media.schema);
  const value: unknown = type.includes('json') ? JSON.parse(answer.body.toString()) : answer.body.toString();
  assert.ok(
    validate(value),
    `${line}: ${answer.status} is not as docs/openapi.json has it: ${JSON.stringify(validate.errors, null, 1)}\n${answer.body.toString().slice(0, 2_000)}`,
  );
}

async function validatorOf(key: string, schema: object): Promise<ValidateFunction> {
  let validate = validators.get(key);
  if (validate === undefined) {
    validate = (await compiler()).compile(absolute(schema));
    validators.set(key, validate);
  }
  return validate;
}

let ajv: Promise<{ compile(schema: object): ValidateFunction }> | null = null;

function compiler() {
  ajv ??= import('ajv/dist/2020.js').then(({ Ajv2020 }) => {
    const made = new Ajv2020({ strict: true, strictTypes: false, allowUnionTypes: true });
    made.addFormat('date-time', (text: string) => !Number.isNaN(Date.parse(text)) && text.endsWith('Z'));
    made.addKeyword('components');
    made.addSchema({ $id: 'openapi', components: openapi().components });
    return made;
  });
  return ajv;
}

/** References are to the document, in which a schema stands. */
function absolute(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/')) as object;
}
