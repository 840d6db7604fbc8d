// How the tests run: every file in its own worker, real sockets, no global names. Two workers at most, because the timing tests share the machine.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 5_000,
    passWithNoTests: false,
    allowOnly: false,
  },
})
