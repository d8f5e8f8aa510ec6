import ssh2 from 'ssh2';
import { KeelsonError } from '../base/errors.js';

/** Ten unreadable ones in a row are no chance any more. */
const KEY_PAIR_ATTEMPTS_MAX = 10;

/** An ed25519 key pair. About one in 300 that ssh2 1.17 makes is one that it cannot read ("Malformed OpenSSH private key"): those are made again. */
export function sshKeyPair(comment = ''): { readonly private: string; readonly public: string } {
  for (let attempt = 0; attempt < KEY_PAIR_ATTEMPTS_MAX; attempt++) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment });
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error) && !(ssh2.utils.parseKey(pair.public) instanceof Error)) return pair;
  }
  throw new KeelsonError('EMBEDDED_SERVER', 'no readable key pair could be made', {
    found: `${KEY_PAIR_ATTEMPTS_MAX} that ssh2 cannot read`,
    action: 'report this',
  });
}
