import { chmodSync, linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { EXIT } from '../../src/base/errors.js';
import { parseSettings } from '../../src/config/load-settings.js';
import { ConfigError } from '../../src/config/mistakes.js';

export const STRIPE = '[stripe]\nmembers = ["a", "b", "c", "d", "e", "f"]\n';
export const GOOD = `name = "vault"\n${STRIPE}`;

/** A configuration with one mistake, and what must be said of it. */
export interface Wrong {
  readonly title: string;
  readonly text: string;
  readonly line: number;
  readonly key: string;
  readonly found: RegExp;
  readonly allowed: RegExp;
}

/** Lines put at the end of the good configuration, in a section of their own: the first is line 5. */
export const inSection = (section: string, lines: string): string => `${GOOD}[${section}]\n${lines}\n`;

/** A folder that holds: disk, link (symbolic) and hard (hard) to it, id, known, empty, newline, and open, which all may read and write. */
function folderOfDevices(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-config-'));
  writeFileSync(join(folder, 'disk'), '');
  symlinkSync('disk', join(folder, 'link'));
  linkSync(join(folder, 'disk'), join(folder, 'hard'));
  writeFileSync(join(folder, 'id'), 'key', { mode: 0o600 });
  writeFileSync(join(folder, 'empty'), '', { mode: 0o600 });
  writeFileSync(join(folder, 'newline'), '\r\n', { mode: 0o600 });
  writeFileSync(join(folder, 'open'), 'key', { mode: 0o600 });
  chmodSync(join(folder, 'open'), 0o666);
  writeFileSync(join(folder, 'known'), 'host');
  test.after.always(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A test for each: exactly one mistake is told, with all that it takes to mend it. */
export function refuseEach(wrongs: readonly Wrong[]): void {
  const folder = folderOfDevices();
  for (const wrong of wrongs) {
    test(`refused with line, key and what is allowed: ${wrong.title}`, (t) => {
      const file = join(folder, 'keelson.toml');
      const error = t.throws(() => parseSettings(wrong.text, file), { instanceOf: ConfigError });
      t.is(error?.exit, EXIT.usage);
      t.is(error?.code, 'CONFIG');
      const [first, ...others] = error?.mistakes ?? [];
      t.deepEqual(others, [], 'one mistake gives one message');
      t.like(first, { file, line: wrong.line, key: wrong.key });
      t.regex(first?.found ?? '', wrong.found);
      t.regex(first?.allowed ?? '', wrong.allowed);
      t.true(error?.message.includes(`${file}:${wrong.line}:`));
    });
  }
}
