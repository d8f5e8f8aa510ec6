import { KeelsonError } from '../base/errors.js';
import { withoutSecrets } from '../base/secrets.js';
import { FileTarget } from './file-target.js';
import type { SftpAddress, SftpCredentials } from './sftp/sftp-session.js';
import { SftpTarget } from './sftp/sftp-target.js';
import type { Target } from './target.js';

/**
 * The target that a URL names: file:///path, or sftp://user@host:port/path with an absolute path. Connects nothing yet.
 * Throws BACKUP_URL.
 */
export function targetFor(url: string, credentials: SftpCredentials): Target {
  const parsed = parse(url);
  const path = decoded(parsed.pathname, url);
  if (parsed.protocol === 'file:') {
    if (parsed.hostname !== '' || path === '' || path === '/') throw badUrl(url);
    return new FileTarget(path.replace(/\/+$/, ''));
  }
  if (parsed.protocol !== 'sftp:' || parsed.hostname === '' || parsed.username === '') throw badUrl(url);
  return new SftpTarget(sftpAddress(parsed, path), credentials);
}

/** For messages before a target is made: the URL without its secrets. Throws BACKUP_URL. */
export function printableUrl(url: string): string {
  const parsed = parse(url);
  parsed.password = '';
  return withoutSecrets(parsed.toString());
}

function sftpAddress(parsed: URL, path: string): SftpAddress {
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = parsed.port === '' ? 22 : Number(parsed.port);
  const user = decoded(parsed.username, parsed.toString());
  const directory = path === '' ? '/' : path;
  return { host, port, user, directory, url: `sftp://${parsed.username}@${parsed.hostname}:${port}${parsed.pathname}` };
}

function parse(url: string): URL {
  try {
    return new URL(url);
  } catch {
    throw badUrl(url);
  }
}

/** Without its percent signs. */
function decoded(part: string, url: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badUrl(url);
  }
}

function badUrl(url: string): KeelsonError {
  return new KeelsonError('BACKUP_URL', 'the URL of the backup is not understood', {
    found: withoutSecrets(url),
    expected: 'file:///path or sftp://user@host:port/path',
    action: 'correct backup.url',
    exit: 2,
  });
}
