/** Roles of a shard in one row's computation. Derive: inputs and zeroes are k shards together, outputs follow from them. */
export const ROLE_NONE = 0;
/** Content at first[shard]. */
export const ROLE_INPUT = 1;
/** All zero bytes: counts among the k, is not read. */
export const ROLE_ZERO = 2;
/** Written to first[shard]. */
export const ROLE_OUTPUT = 3;
/** Delta: a data block's old content at first[shard], its new content at second[shard], or both; parity at first[shard] is updated in place. */
export const ROLE_OLD = 4;
export const ROLE_NEW = 5;
export const ROLE_OLD_AND_NEW = 6;
export const ROLE_UPDATE = 7;
