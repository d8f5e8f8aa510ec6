import { readFileSync, writeFileSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { Member } from '../../src/member/member-api.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';

export const ONE_PARITY: FixtureOptions = { dataMembers: 4, parity: 1, stripes: 200, chunkBytes: 8192, backup: false };

/** An array whose volume is written once, all of it in the stripes. */
export async function filled(
  t: ExecutionContext,
  options: FixtureOptions = ONE_PARITY,
): Promise<{ fixture: ArrayFixture; model: BlockModel }> {
  const fixture = await ArrayFixture.create(t, options);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.fill();
  t.true(await fixture.engine.destageLoop.drainAll());
  return { fixture, model };
}

/** Bad sectors: every so many-th block of the member's data zone is not what it was. */
export function damage({ engine }: ArrayFixture, index: number, every: number, first = 0): number {
  const { device, superblock } = engine.state.members[index] as Member;
  const bytes = readFileSync(device.path);
  let bad = 0;
  const { dataOffset, dataBytes } = superblock.layout;
  for (let at = first * BLOCK_BYTES; at < dataBytes; at += every * BLOCK_BYTES, bad++) bytes.writeUInt32LE(0xdead, dataOffset + at + 8);
  writeFileSync(device.path, bytes);
  return bad;
}

/** The next start looks for the member at another path. */
export async function startedWith(fixture: ArrayFixture, index: number, path: string): Promise<void> {
  const members = [...fixture.settings.stripe.members];
  members[index] = path;
  Object.assign(fixture.settings, { stripe: { ...fixture.settings.stripe, members } });
  await fixture.start();
}
