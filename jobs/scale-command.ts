import { type ChildProcess, spawn } from 'node:child_process'
import { InvalidArgumentError } from 'commander'
import type { DataScaleBody } from '#schemas'
import { type DecisionApplier, ForestallError } from '#core/ports'
import { createHistogram, type HistogramCounts } from '#infra/observability'

/** A program and its arguments, with places to fill in. No shell reads it. */
export type ScaleCommand = readonly [program: string, ...args: string[]]

/** What commands have been run since the start. */
export interface ScaleCommandCounts {
  readonly succeeded: number
  readonly failed: number
  /** Under way. */
  readonly running: number
  /** Seconds to their ends. */
  readonly seconds: HistogramCounts
}

/** An applier that runs a command for every change of a count. */
export interface ScaleCommandRunner {
  readonly applier: DecisionApplier<DataScaleBody>
  counts(): ScaleCommandCounts
  /** Ends a command under way. */
  stop(): Promise<void>
}

const LIMIT_MS = 300_000
const MOST_OUTPUT = 2000

/** Splits a command at spaces; single and double quotes keep them. Throws commander's InvalidArgumentError. */
export function parseScaleCommand(text: string): ScaleCommand {
  const words = [...text.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? ''),
  )
  const [program, ...args] = words
  if (program === undefined) throw new InvalidArgumentError('Write a command.')
  if (!text.includes('{instances}')) throw new InvalidArgumentError('Name {instances} in the command.')
  return [program, ...args]
}

/**
 * Runs the command before the inner applier takes the decision, one at a time for each service: a decision counts as
 * applied once the command has ended with status 0. Throws DATA_PLANE_REFUSED, with what it printed, if it did not; the
 * count that stood before goes on standing. A service of which nothing stands has `before` 0.
 */
export function createScaleCommand(
  command: ScaleCommand,
  inner: DecisionApplier<DataScaleBody>,
  say: (line: string) => void,
  limitMs = LIMIT_MS,
): ScaleCommandRunner {
  const counts = new Map<string, number>()
  const running = new Set<ChildProcess>()
  const ended = new Set<Promise<void>>()
  const seconds = createHistogram()
  let [succeeded, failed] = [0, 0]

  async function run(service: string, instances: number, before: number): Promise<void> {
    const values: Record<string, string> = {
      '{service}': service,
      '{instances}': String(instances),
      '{before}': String(before),
    }
    const [program = '', ...args] = command.map((word) =>
      word.replaceAll(/\{(service|instances|before)\}/g, (place) => values[place] ?? place),
    )
    say(`${service}: ${before} -> ${instances} instances`)
    const beganMs = performance.now()
    const { how, output } = await execute(program, args, limitMs, running)
    seconds.observe((performance.now() - beganMs) / 1000)
    if (how === '') {
      succeeded++
      return
    }
    failed++
    throw new ForestallError(
      'DATA_PLANE_REFUSED',
      `${program} for ${instances} instances of ${service} ${how}: ${output}`,
    )
  }

  return {
    applier: {
      ...inner,
      async apply(decision, applied) {
        const { service, instances } = decision.body
        const before = counts.get(service) ?? 0
        if (instances !== before) {
          const work = run(service, instances, before)
          const settled = work.catch(() => undefined)
          ended.add(settled)
          await work.finally(() => ended.delete(settled))
          counts.set(service, instances)
        }
        return inner.apply(decision, applied)
      },
    },
    counts: () => ({ succeeded, failed, running: running.size, seconds: seconds.read() }),
    async stop() {
      for (const child of running) child.kill('SIGTERM')
      await Promise.all(ended)
    },
  }
}

/** Runs a program to its end; `how` is '' if that was good. */
function execute(
  program: string,
  args: readonly string[],
  limitMs: number,
  running: Set<ChildProcess>,
): Promise<{ how: string; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
    const end = (how: string): void => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ how, output: output.trim() })
    }
    const take = (text: string): void => {
      output = `${output}${text}`.slice(-MOST_OUTPUT)
    }
    running.add(child)
    child.stdout.setEncoding('utf8').on('data', take)
    child.stderr.setEncoding('utf8').on('data', take)
    child.once('error', (error) => end(error.message))
    child.once('close', (code, signal) =>
      end(code === 0 ? '' : signal === null ? `ended with status ${code}` : `was ended by ${signal}`),
    )
  })
}
