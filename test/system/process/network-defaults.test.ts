import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { Worker } from 'node:worker_threads';
import { networkDefaults, setNetworkDefaults } from '../../../src/system/process/network-defaults.ts';
import { TLS_CERTIFICATE } from '../../support/network/tls-certificate.ts';

const before = { ...networkDefaults(true), authorities: tls.getCACertificates('default') };
after(() => setNetworkDefaults(before));

test('a thread gets what the program has set for its connections', async () => {
  assert.equal(networkDefaults(false).authorities, null);
  dns.setDefaultResultOrder('ipv6first');
  net.setDefaultAutoSelectFamily(false);
  net.setDefaultAutoSelectFamilyAttemptTimeout(1234);
  tls.DEFAULT_MIN_VERSION = 'TLSv1.3';
  tls.DEFAULT_CIPHERS = 'TLS_AES_256_GCM_SHA384';
  tls.setDefaultCACertificates([TLS_CERTIFICATE]);
  const ours = networkDefaults(true);
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ setNetworkDefaults, networkDefaults }) => {
      setNetworkDefaults(workerData.defaults);
      parentPort.postMessage(networkDefaults(true));
    });`;
  const module = import.meta.resolve('../../../src/system/process/network-defaults.ts');
  const worker = new Worker(program, { eval: true, execArgv: [], workerData: { module, defaults: ours } });
  const [theirs] = await once(worker, 'message');
  await worker.terminate();
  assert.deepEqual(theirs, ours);
  assert.deepEqual(ours, {
    resultOrder: 'ipv6first',
    autoSelectFamily: false,
    autoSelectFamilyAttemptTimeoutMs: 1234,
    tlsMinVersion: 'TLSv1.3',
    tlsMaxVersion: 'TLSv1.3',
    tlsCiphers: 'TLS_AES_256_GCM_SHA384',
    authorities: [TLS_CERTIFICATE],
  });
});
