import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { exitStatus, renderTable, renderVerdict } from '#core/evaluation'
import { ForestallError } from '#core/ports'
import { createInlineSolver } from '#infra/solver'
import { DATA_USAGE, runDataEvaluation } from './evaluate-data.ts'
import { evaluateTraffic } from '../pipelines/traffic-routing/evaluate.ts'

const USAGE = `usage: forestall evaluate traffic-routing --data DIR [--next DIR] [--quick] [--json]
  --data DIR   Abilene matrices (od_traffic.csv.gz, links.csv, nodes.csv) or pods (pod_<x>_topology.json, …)
  --next DIR   the period that follows, in the same form: it is scored, --data trains
  --quick      scores a sample of the intervals
  --json       prints the report as one JSON object on the last line`

interface Options {
  readonly data: string
  readonly next?: string
  readonly quick: boolean
  readonly json: boolean
}

function parse(args: readonly string[]): Options {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      data: { type: 'string' },
      next: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [subsystem, ...rest] = positionals
  if (subsystem !== 'traffic-routing' || rest.length > 0)
    throw new ForestallError('CONFIG_INVALID', `subsystem = ${positionals.join(' ')}`, {
      cure: 'Name traffic-routing or data-sharding.',
    })
  if (values.data === undefined)
    throw new ForestallError('CONFIG_INVALID', '--data is missing', {
      cure: 'Name a folder with --data DIR.',
    })
  return {
    data: resolve(values.data),
    ...(values.next === undefined ? {} : { next: resolve(values.next) }),
    quick: values.quick,
    json: values.json,
  }
}

/** `forestall evaluate …`: exit code 0 = sound, 1 = a check value was not reproduced, 2 = bad arguments or data. */
export async function runEvaluate(args: readonly string[]): Promise<0 | 1 | 2> {
  try {
    const began = performance.now()
    const log = (line: string) =>
      process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}\n`)
    if (args[0] === 'data-sharding') return runDataEvaluation(args.slice(1), log)
    const options = parse(args)
    const solver = await createInlineSolver()
    const { tables, report } = evaluateTraffic({ ...options, solver, log })
    for (const table of tables) process.stdout.write(`${renderTable(table)}\n\n`)
    process.stdout.write(`${renderVerdict(report)}\n`)
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
    return exitStatus(report)
  } catch (error) {
    const isOurs = error instanceof ForestallError
    const isArgument =
      error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
    if (!isOurs && !isArgument) throw error
    process.stderr.write(
      `${error.message}\n${isOurs ? `${error.cure}\n` : ''}${args[0] === 'data-sharding' ? DATA_USAGE : USAGE}\n`,
    )
    return 2
  }
}

if (import.meta.main) process.exitCode = await runEvaluate(process.argv.slice(2))
