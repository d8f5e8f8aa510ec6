import type { Duplex } from 'node:stream';
import type { ExecutionContext } from 'ava';
import ssh2 from 'ssh2';

/** An SSH server on a free port that lets everybody in, until the test ends; its SFTP is what `serve` makes of a channel. Resolves to the port. */
export async function sshServer(t: ExecutionContext, hostKeys: readonly string[], serve: (channel: Duplex) => void): Promise<number> {
  const server = new ssh2.Server({ hostKeys: [...hostKeys] }, (client) => {
    client.on('authentication', (context) => context.accept());
    client.on('error', () => client.end());
    client.on('session', (accept) => {
      accept().on('subsystem', (acceptChannel) => serve(acceptChannel() as Duplex));
    });
    t.teardown(() => client.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}
