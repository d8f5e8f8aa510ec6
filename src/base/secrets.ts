import { readFileSync, type Stats } from 'node:fs';

const HIDDEN = '***';
/** Beyond the last "@": a password may hold every sign, also ones that a URL would have to escape. */
const PASSWORD = /(:\/\/[^\s/@:"']*):.*@/gs;
const QUERY = /(:\/\/[^?#]*)[?#][^"\s]*/g;
const PRIVATE_KEY = /-----BEGIN .*/gs;

/**
 * A text as it may be printed or logged: without the password and the query of a URL, and without a private key. Every place
 * that quotes what an operator wrote, or a URL of a backup, prints it through this.
 */
export function withoutSecrets(text: string): string {
  return text.replace(PASSWORD, `$1:${HIDDEN}@`).replace(QUERY, `$1?${HIDDEN}`).replace(PRIVATE_KEY, HIDDEN);
}

/**
 * What is wrong with the rights of a file that holds a secret; '' when nothing is. As ssh has it: the group may read a file of
 * another owner (that is how a service is given one), everybody else never.
 */
export function exposed(stat: Stats): string {
  const own = stat.uid === process.geteuid?.();
  if ((stat.mode & (own ? 0o077 : 0o007)) === 0) return '';
  return `is open to other users (${modeText(stat)})`;
}

/** The same for a file whose content decides whom we trust: it may be read by others, but not written. */
export function writableByAll(stat: Stats): string {
  return (stat.mode & 0o002) === 0 ? '' : `may be written by every user (${modeText(stat)})`;
}

function modeText({ mode }: Stats): string {
  return `mode ${(mode & 0o777).toString(8).padStart(4, '0')}`;
}

/** What a passphrase file holds, without its last newline. '' when that is nothing: a file that is named is meant to protect. */
export function passphraseIn(path: string): string {
  const text = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  return /^[\r\n]*$/.test(text) ? '' : text;
}
