/**
 * A process that runs the embedded stack until it is told to stop: `stack.parent.ts <data folder> <parts folder>`.
 * Prints one line of JSON once the stack is ready, or why it is not.
 */
import { startStack, stopOnSignals } from '#infra/local'

/** What the process prints. */
export interface ParentReport {
  readonly error?: { code: string; message: string }
  readonly kafkaBrokers?: string[]
  readonly registryUrl?: string
  readonly pids?: { kafka: number; clickhouse: number }
  readonly orphansKilled?: string[]
}

const [dataDir = '', partsDir = ''] = process.argv.slice(2)
const report = (it: ParentReport): void => console.log(JSON.stringify(it))
try {
  const stack = await startStack({ dataDir, partsDir })
  stopOnSignals(() => stack.stop(), console.error)
  const pidOf = (part: 'kafka' | 'clickhouse'): number => stack.parts[part]?.running?.pid ?? 0
  report({
    kafkaBrokers: [...stack.kafkaBrokers],
    registryUrl: stack.registryUrl,
    pids: { kafka: pidOf('kafka'), clickhouse: pidOf('clickhouse') },
    orphansKilled: [...stack.orphansKilled],
  })
} catch (error) {
  const { code = '', message } = error as Error & { code?: string }
  report({ error: { code, message } })
}
