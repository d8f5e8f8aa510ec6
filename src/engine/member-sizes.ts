import { statSync } from 'node:fs';
import type { Bytes } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { DeviceProvider } from '../device/device.js';
import type { MemberSizes } from './array-plan.js';
import { placeForFile } from './member-file.js';

/**
 * How large the members are that there are, for a plan: devices are opened for reading, nothing is held, nothing is made. Simulated members
 * are as the settings say. Throws DEVICE_MISSING where there is no member and no file is made, and what opening a device throws.
 */
export async function memberSizes(settings: Settings, provider: DeviceProvider): Promise<MemberSizes> {
  const of = async (paths: readonly string[]): Promise<(Bytes | null)[]> => {
    const sizes: (Bytes | null)[] = [];
    for (const path of paths) sizes.push(provider.kind === 'simulated' ? null : await sizeOf(settings, provider, path));
    return sizes;
  };
  return { stripe: await of(settings.stripe.members), journal: await of(settings.journal.members) };
}

/** null: a file of the right size is made there, or an empty one gets it. */
async function sizeOf(settings: Settings, provider: DeviceProvider, path: string): Promise<Bytes | null> {
  const makes = settings.stripe.memberBytes !== null;
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    placeForFile(path, makes, settings.file);
    return null;
  }
  if (found.isFile()) return found.size === 0 && makes ? null : found.size;
  const device = await provider.open(path, { exclusive: false, readOnly: true });
  try {
    return device.sizeBytes;
  } finally {
    await device.close();
  }
}
