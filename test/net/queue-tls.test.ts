import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { IncorrectUsageError, ProducerClient, type QueueTlsOptions } from '../../src/producer/index.ts';
import { TLS_CERTIFICATE, TLS_KEY } from '../support/network/tls-certificate.ts';

const URL = 'https://queue.example.com';
const BROKEN = TLS_CERTIFICATE.replace('MIIB', 'MIIC');

/** Both clients refuse the options at once; what they say does not show a key. */
function refuses(options: object, words: RegExp, url = URL): void {
  for (const Client of [ProducerClient, ConsumerClient]) {
    assert.throws(
      () => new Client(url, 'memory:///tls', options as QueueTlsOptions),
      (error: unknown) => {
        assert.ok(error instanceof IncorrectUsageError, String(error));
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /secret|MIGHAg/);
        return true;
      },
    );
  }
}

test('certificates and keys are taken as text or bytes', async () => {
  for (const bytes of [(text: string) => text, (text: string) => new TextEncoder().encode(text)]) {
    const options = { ca: bytes(TLS_CERTIFICATE), cert: bytes(TLS_CERTIFICATE), key: bytes(TLS_KEY) };
    await new ProducerClient(URL, null, options).close();
    await new ConsumerClient('wss://queue.example.com', 'memory:///tls', options).close();
  }
  await new ProducerClient(URL, null, { ca: `# the test's\n${TLS_CERTIFICATE}${TLS_CERTIFICATE}` }).close();
  await new ProducerClient('localhost:3999', null, {
    ca: undefined,
    cert: undefined,
    key: undefined,
  }).close();
});

test('the name of a file, something else and nothing at all are refused, by the name of the option', () => {
  refuses(
    { ca: '/etc/ssl/ca.pem' },
    /^ca must hold a certificate in PEM .* name of a file \(\/etc\/ssl\/ca\.pem\)/,
  );
  refuses({ ca: 'ca.crt' }, /^ca must .* name of a file \(ca\.crt\)/);
  refuses({ ca: TLS_KEY }, /^ca must hold a certificate in PEM .* of something else/);
  refuses({ ca: '' }, /^ca must .* got an empty text/);
  refuses({ ca: [] }, /^ca must .* got none/);
  refuses({ ca: [TLS_CERTIFICATE, ''] }, /^ca must .* got an empty text/);
  refuses({ ca: 7 }, /^ca must be PEM, as a string or bytes, got a value of type number/);
  refuses({ ca: BROKEN }, /^ca: the certificate cannot be read: ./);
  refuses({ ca: [TLS_CERTIFICATE + BROKEN] }, /^ca: certificate 2 of 2 cannot be read: ./);
  const key = TLS_KEY;
  refuses({ cert: './client.pem', key }, /^cert must hold a certificate in PEM .* name of a file/);
  const cert = TLS_CERTIFICATE;
  refuses({ cert, key: './secret.pem' }, /^key must be a private key in PEM .* name of a file/);
  refuses({ cert, key: cert }, /^key must be a private key in PEM/);
  refuses({ cert, key: key.replace('MIGH', 'AAAA') }, /^key cannot be read: ./);
});

test('a certificate and its key go together, with a URL of https', () => {
  refuses({ key: TLS_KEY }, /^key must go with cert, got key only/);
  refuses({ cert: TLS_CERTIFICATE }, /^cert must go with key, got cert only/);
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const other = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
  refuses({ cert: TLS_CERTIFICATE, key: other }, /^key must be the private key of cert, got that of another/);
  const encryption = { cipher: 'aes-256-cbc', passphrase: 'secret' };
  const encrypted = pair.privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption });
  refuses({ cert: TLS_CERTIFICATE, key: encrypted }, /^key must not be encrypted/);
  const text = /^ca must go with a queue URL of https:\/\/ or wss:\/\/, got http:\/\/localhost:3999/;
  refuses({ ca: TLS_CERTIFICATE }, text, 'localhost');
});
