import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ForestallError } from '#core/ports'
import { createInlineSolver } from '#infra/solver'
import { evaluateTraffic } from '../pipelines/traffic-routing/evaluate.ts'
import type { Evaluation } from './evaluate.ts'

const USAGE = `usage: forestall evaluate traffic-routing --data DIR [--next DIR] [--quick] [--json]
  --data DIR   Abilene matrices (od_traffic.csv.gz, links.csv, nodes.csv) or pods (pod_<x>_topology.json, …)
  --next DIR   the period that follows, in the same form: it is scored, --data trains
  --quick      scores a sample of the intervals
  --json       prints the report as one JSON object on the last line`

interface Options {
  readonly data: string
  readonly next?: string
  readonly quick: boolean
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string' },
      next: { type: 'string' },
      quick: { type: 'boolean', default: false },
    },
  })
  if (values.data === undefined)
    throw new ForestallError('CONFIG_INVALID', '--data is missing', {
      cure: 'Name a folder with --data DIR.',
    })
  return {
    data: resolve(values.data),
    ...(values.next === undefined ? {} : { next: resolve(values.next) }),
    quick: values.quick,
  }
}

/** `forestall evaluate traffic-routing`. */
export const TRAFFIC_EVALUATION: Evaluation = {
  usage: USAGE,
  async run(args, log) {
    const options = parse(args)
    return evaluateTraffic({ ...options, solver: await createInlineSolver(), log })
  },
}
