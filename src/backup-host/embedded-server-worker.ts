import { parentPort, workerData } from 'node:worker_threads';
import { known } from '../base/assert.js';
import { embeddedHost } from './embedded-host.js';
import type { EmbeddedServerData } from './embedded-server.js';

/** Entry of the embedded backup host's thread. */
const port = known(parentPort, 'the embedded server runs in a worker thread');
const data = workerData as EmbeddedServerData;

const listener = embeddedHost(data);
listener.on('error', (error: Error) => port.postMessage({ error: error.message }));
listener.listen(data.port, '127.0.0.1', () => {
  const address = listener.address();
  port.postMessage({ port: typeof address === 'object' && address !== null ? address.port : 0 });
});
