/** Of every random choice of the system tests: a fresh one, or the one to repeat. */
export const SYSTEM_SEED = Number(process.env.KEELSON_SYSTEM_SEED ?? Date.now() % 0x1_0000_0000);
