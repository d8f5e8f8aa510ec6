const out = process.env.KEELSON_OUT ?? 'dist';

export default {
  files: [`${out}/test/**/*.test.js`, `!${out}/test/system/**`],
  // A native crash must fail one file, not the whole run.
  workerThreads: false,
  concurrency: 2,
  timeout: '2m',
};
