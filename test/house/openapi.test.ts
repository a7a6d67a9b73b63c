import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PARAMETERS, type Parameter } from '../../src/protocol/api/parameters.ts';
import { ENDPOINTS, type Endpoint } from '../../src/server/http/endpoints.ts';
import { openapi } from '../support/protocol/openapi.ts';
import { TestServer } from '../support/queues/test-server.ts';

// Whether answers are as docs/openapi.json has them, TestServer looks in every test of the server.

const described = Object.entries(openapi().paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

test('docs/openapi.json has every endpoint, under its name, and no other', () => {
  const endpoints = Object.entries<Endpoint>(ENDPOINTS).map(
    ([name, { method, path }]) => `${name}: ${method} ${path}`,
  );
  assert.deepEqual(
    described.map(({ path, method, operation }) => `${operation.operationId}: ${method} ${path}`).toSorted(),
    endpoints.toSorted(),
  );
});

test('docs/openapi.json has the parameters of each endpoint as they are read', () => {
  for (const [name, parameters] of Object.entries<Readonly<Record<string, Parameter>>>(PARAMETERS)) {
    const operation = described.find((each) => each.operation.operationId === name)?.operation;
    if (operation === undefined) continue;
    const inQuery = operation.parameters?.filter((each) => each.in === 'query') ?? [];
    assert.deepEqual(
      Object.fromEntries(inQuery.map((each) => [each.name, each.schema])),
      Object.fromEntries(Object.entries(parameters).map(([key, parameter]) => [key, schemaOf(parameter)])),
      name,
    );
  }
});

function schemaOf(parameter: Parameter): object {
  switch (parameter.kind) {
    case 'text':
    case 'id':
    case 'queue':
      return { type: 'string' };
    case 'time':
      return { type: 'string', format: 'date-time' };
    case 'integer': {
      const { min, max } = parameter;
      return { type: 'integer', minimum: min, maximum: max, ...defaultOf(parameter) };
    }
    case 'choice':
      return { type: 'string', enum: [...parameter.choices], ...defaultOf(parameter) };
    case 'choices':
      return { type: 'array', items: { type: 'string', enum: [...parameter.choices] } };
    case 'pairs':
      return { type: 'array', items: { type: 'string' } };
  }
}

function defaultOf(parameter: { readonly default?: unknown }): object {
  return parameter.default === undefined ? {} : { default: parameter.default };
}

test('every schema of docs/openapi.json is used', () => {
  const text = JSON.stringify(openapi());
  const unused = Object.keys(openapi().components.schemas).filter(
    (name) => !text.includes(`"#/components/schemas/${name}"`),
  );
  assert.deepEqual(unused, []);
});

test('the queue serves docs/openapi.json', async () => {
  await using server = await TestServer.start();
  const answer = await server.get('/api/v1/openapi.json');
  assert.equal(answer.status, 200);
  assert.deepEqual(JSON.parse(answer.body.toString()), openapi());
});
