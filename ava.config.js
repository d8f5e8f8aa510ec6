const out = process.env.KEELSON_OUT ?? 'dist';
const system = process.env.KEELSON_TESTS === 'system';

export default {
  files: system ? [`${out}/test/system/**/*.test.js`] : [`${out}/test/**/*.test.js`, `!${out}/test/system/**`],
  // A native crash must fail one file, not the whole run.
  workerThreads: false,
  concurrency: system ? 1 : 2,
  // AVA's timeout is the longest silence, not the length of one test.
  timeout: system ? '15m' : '2m',
};
