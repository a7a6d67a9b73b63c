import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { chunkKey } from '../../src/objects/keys.ts';
import { isThreadSafeUrl, type ObjectStoreLocation, parseObjectStoreUrl } from '../../src/objects/url.ts';

interface RecordedCase {
  readonly url: string;
  readonly store?: string;
  readonly base?: string;
  readonly key?: string;
  readonly opened?: string;
  readonly refused?: string;
}

const cases: RecordedCase[] = JSON.parse(
  readFileSync(new URL('../fixtures/golden/object-urls.json', import.meta.url), 'utf8'),
);

const KINDS: Readonly<Record<string, ObjectStoreLocation['kind']>> = {
  Local: 'file',
  Memory: 'memory',
  AmazonS3: 's3',
  GoogleCloudStorage: 'gs',
  MicrosoftAzure: 'az',
  Http: 'http',
};

/** Where ours differs from the recordings on purpose. */
const DEVIATIONS: Readonly<Record<string, { base?: string; refused?: RegExp; reason: string }>> = {
  'https://s3data.s3.eu-west-1.amazonaws.com/a': {
    base: 'a',
    reason: 'the original loses the first segment when the bucket begins with s3',
  },
  'https://s3-bkt.s3.eu-west-1.amazonaws.com/a/b': {
    base: 'a/b',
    reason: 'the original loses the first segment when the bucket begins with s3',
  },
  'https://s3.eu-west-1.amazonaws.com/': {
    refused: /the bucket is missing/,
    reason: 'the original opens a store without a bucket, of which no call succeeds',
  },
};

describe('object store URLs', () => {
  test('there are 89 recorded cases, and each deviation names one of them', () => {
    assert.equal(cases.length, 89);
    for (const url of Object.keys(DEVIATIONS)) assert.ok(cases.some((recorded) => recorded.url === url));
  });

  for (const recorded of cases) {
    const deviation = DEVIATIONS[recorded.url];
    if (recorded.refused !== undefined || deviation?.refused !== undefined) {
      test(`refuses ${recorded.url}`, () => {
        assert.throws(
          () => parseObjectStoreUrl(recorded.url),
          (error) =>
            error instanceof IncorrectUsageError && (deviation?.refused ?? /URL/).test(error.message),
        );
      });
      continue;
    }
    test(`reads ${recorded.url} as the original does`, () => {
      const location = parseObjectStoreUrl(recorded.url);
      assert.equal(location.kind, KINDS[recorded.store ?? '']);
      assert.equal(location.base, deviation?.base ?? recorded.base);
      const key = [location.baseName, chunkKey('PFX', 3, 'in')].filter((part) => part !== '').join('/');
      assert.equal(key, deviation?.base === undefined ? recorded.key : `${deviation.base}/PFX/3-in.bin`);
      assert.equal(opened(location), recorded.opened);
    });
  }

  test('knows the region, endpoint and style of each form of S3', () => {
    const s3 = (url: string) => {
      const { kind, base, baseName, url: _, ...rest } = parseObjectStoreUrl(url);
      assert.equal(kind, 's3');
      return rest;
    };
    const plain = { bucket: 'bkt', region: null, endpoint: null, virtualHosted: false };
    assert.deepEqual(s3('s3://bkt/a'), plain);
    assert.deepEqual(s3('https://s3.eu-west-1.amazonaws.com/bkt/a'), { ...plain, region: 'eu-west-1' });
    assert.deepEqual(s3('https://s3.dualstack.eu-west-1.amazonaws.com/bkt/a'), {
      ...plain,
      region: 'eu-west-1',
    });
    assert.deepEqual(s3('https://bkt.s3.amazonaws.com/a'), { ...plain, virtualHosted: true });
    assert.deepEqual(s3('https://bkt.s3.dualstack.eu-west-1.amazonaws.com/a'), {
      ...plain,
      region: 'eu-west-1',
      virtualHosted: true,
    });
    assert.deepEqual(s3('https://acc.r2.cloudflarestorage.com/bkt/a'), {
      ...plain,
      region: 'auto',
      endpoint: 'https://acc.r2.cloudflarestorage.com',
    });
  });

  test('hides credentials, and keeps them for the store', () => {
    const location = parseObjectStoreUrl('https://user:p%40ss@host:8443/a?sig=secret#x');
    assert.equal(location.url, 'https://host:8443/a');
    assert.ok(location.kind === 'http');
    assert.equal(location.origin, 'https://host:8443');
    assert.deepEqual([location.username, location.password], ['user', 'p@ss']);
    assert.throws(
      () => parseObjectStoreUrl('ftp://user:secret@host/a'),
      (error) => error instanceof IncorrectUsageError && !error.message.includes('secret'),
    );
    for (const url of [
      's3://user:secret@host:port:port/a',
      'https://user:secret@host:99999/a',
      'https://user:the/secret@host/a',
      'https://user:the@secret@host:x/a',
      'user:secret@host/a',
      'https://user:secret@host/a//b',
      'https://user:%ffsecret@host/a',
    ]) {
      assert.throws(
        () => parseObjectStoreUrl(url),
        (error) => error instanceof IncorrectUsageError && !inspect(error).includes('secret'),
        url,
      );
    }
  });

  test('tells how to name a folder', () => {
    assert.throws(() => parseObjectStoreUrl('/data/x'), /file:\/\/\/path/);
  });

  test('only memory: stays on its thread', () => {
    assert.equal(isThreadSafeUrl('memory:///a'), false);
    assert.equal(isThreadSafeUrl('file:///a'), true);
  });
});

function opened(location: ObjectStoreLocation): string {
  switch (location.kind) {
    case 'file':
      return 'LocalFileSystem(file:///)';
    case 'memory':
      return 'InMemory';
    case 's3':
      return `AmazonS3(${location.bucket})`;
    case 'gs':
      return `GoogleCloudStorage(${location.bucket})`;
    case 'az':
      return `MicrosoftAzure { account: ${location.account ?? 'acct'}, container: ${location.container} }`;
    case 'http':
      return 'HttpStore';
  }
}

test('a URL that only looks relative is refused, with what to write instead', () => {
  for (const url of ['file:./x', 'file:x/y', 'file:', 'file:~/x', 'FILE:x', 'file:C:/x', 'file:../x']) {
    assert.throws(() => parseObjectStoreUrl(url), /absolute; write file:\/\/\/path/, url);
  }
  for (const url of ['memory:', 'memory:x', 'memory:./x']) {
    assert.throws(() => parseObjectStoreUrl(url), /write memory:\/\/\/name/, url);
  }
});
