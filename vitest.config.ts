// How the tests run: every file in its own worker, real sockets, no global names. Three files at a time, for many wait; those that hold real time
// or memory to bounds come afterwards, one by one, with the machine to themselves.

import { defineConfig } from 'vitest/config'

const timed = ['test/cli/demo.test.ts', 'test/faults/broken-streams.test.ts', 'test/fleet/streams-trial.test.ts', 'test/http/blobs.test.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: 'test/support/prepare.ts',
    // Only what hangs gets there: a shared machine may be several times slower than a developer's.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 5_000,
    // Real sockets in real time: where a machine that others use stands still for a second, a bar of a second is passed for no fault of ours. There,
    // and not on a developer's machine, what failed is run once more, and the report says so (`retry x1`).
    retry: process.env['CI'] === undefined ? 0 : 1,
    // A slow machine starts a process in more than the second that is the default.
    expect: { poll: { timeout: 15_000 } },
    passWithNoTests: false,
    allowOnly: false,
    projects: [
      {
        extends: true,
        test: { name: 'together', include: ['test/**/*.test.ts'], exclude: timed, maxWorkers: 3, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'alone', include: timed, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
})
