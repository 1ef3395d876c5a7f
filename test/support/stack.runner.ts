import { inject, TestRunner, type TestRunnerConfig } from 'vitest'

const NO_NAME = /(?!)/

/**
 * Skips every test, with the hooks around it, if there is no stack (its reason is printed where the stack failed
 * to start). A filter on names does that: a `skip` inside the tests would come after their `beforeAll`.
 */
export default class StackRunner extends TestRunner {
  constructor(config: TestRunnerConfig) {
    super(inject('stackMissing') === '' ? config : { ...config, testNamePattern: NO_NAME })
  }
}
