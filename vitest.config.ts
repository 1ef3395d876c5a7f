import { defineConfig } from 'vitest/config'

/** On the real stack, which test/support/stack.global.ts starts once per run. */
const onStack = ['test/integration/**/*.test.ts', 'test/conformance/**/*.test.ts']
/** Run by commands of their own. */
const apart = ['test/chaos/**', 'test/bench/**']

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...onStack, ...apart],
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: onStack,
          globalSetup: ['test/support/stack.global.ts'],
          runner: './test/support/stack.runner.ts',
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
