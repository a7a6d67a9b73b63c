import { openObjectStore } from '../../src/objects/open.ts';
import { objectStoreConformance } from '../conformance/object-store.ts';
import {
  type ObjectServer,
  startAzServer,
  startGsServer,
  startHttpServer,
  startS3Server,
} from '../support/objects/object-servers.ts';

/** The suite on a server; a store that waits would only hide what is wrong. */
async function subject(start: () => Promise<ObjectServer>) {
  const server = await start();
  return {
    open: (name: string) => {
      const { url, options } = server.place(name);
      return openObjectStore(url, { ...options, max_retries: 0 }, { listPageMax: 20 });
    },
    stop: () => server.stop(),
  };
}

objectStoreConformance('s3: on fauxqs', () => subject(startS3Server), { listingObjects: 50 });
objectStoreConformance('gs: on a fake', () => subject(startGsServer), { listingObjects: 50 });
objectStoreConformance('http: on a fake WebDAV server', () => subject(startHttpServer), {
  listingObjects: 50,
});
objectStoreConformance('az: on azurite', () => subject(startAzServer), { listingObjects: 50 });
