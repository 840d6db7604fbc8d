// How the tests run: every file in its own worker, real sockets, no global names. Two files at a time; those that hold real time
// or memory to bounds come afterwards, one by one, with the machine to themselves.

import { defineConfig } from 'vitest/config'

const timed = ['test/faults/broken-streams.test.ts', 'test/fleet/streams-trial.test.ts', 'test/http/blobs.test.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 5_000,
    passWithNoTests: false,
    allowOnly: false,
    projects: [
      {
        extends: true,
        test: { name: 'together', include: ['test/**/*.test.ts'], exclude: timed, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'alone', include: timed, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
})
