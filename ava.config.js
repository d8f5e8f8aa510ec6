const out = process.env.KEELSON_OUT ?? 'dist';
const system = process.env.KEELSON_TESTS === 'system';
/** Of the system tests, the longest first: then the last ones of a run end at about the same time. */
const LONGEST = [
  'loss-matrix',
  'bitrot',
  'native-pool-cycles',
  'yanked-members',
  'filesystems',
  'demo',
  'native-fuzz',
  'hostile-clients',
  'native-kernels',
];
/** Long random runs of our own logic, over nothing that differs between Node versions: `.ci/run` has them once. */
const ONCE = ['journal/recovery-history', 'engine/losses', 'sim/simulator', 'repository/corruption'];
const spared = process.env.KEELSON_TESTS === 'other-node' ? ONCE.map((name) => `!${out}/test/${name}.test.js`) : [];
const rank = (file) => {
  const place = LONGEST.findIndex((name) => file.endsWith(`/${name}.test.js`));
  return place < 0 ? LONGEST.length : place;
};

export default {
  files: system ? [`${out}/test/system/**/*.test.js`] : [`${out}/test/**/*.test.js`, `!${out}/test/system/**`, ...spared],
  // A native crash must fail one file, not the whole run.
  workerThreads: false,
  concurrency: system ? 1 : 2,
  // AVA's timeout is the longest silence, not the length of one test. It is for a test that hangs: on a busy machine a
  // long one may say nothing for minutes.
  ...(system ? { sortTestFiles: (a, b) => rank(a) - rank(b) || a.localeCompare(b) } : {}),
  timeout: '15m',
};
