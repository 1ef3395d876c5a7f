import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ForestallError } from '#core/ports'
import { type DataEvaluation, evaluateData } from '../pipelines/data-sharding/evaluate.ts'
import type { Evaluation } from './evaluate.ts'

const USAGE = `usage: forestall evaluate data-sharding --data DIR | --generator [options] [--json]
  --data DIR         queries.csv.gz (hotel searches), departures.csv.gz (flights), or any CSV or JSON lines
                     (also .gz) with time, key[, work]
  --later            takes the second half-year of flights
  --generator        takes generated load: --alpha 0.9,1.1,1.4 and --seeds 1,2,3
  --workload NAME    another kind of load: sweep, fast sweep, slow sweep, sudden, flip, ramp, noise,
                     alternating, periodic, weekly, or all
  --never-worse      compares ours with the best simple plan only: at 1.1 and 1.5 replicas and at equal split;
                     with --generator alone on every kind of load
  --plan TEXT        only plans with this in their name, and no tables of forecasts and scaling
  --replicas 1.1     only plans with so many replicas per segment: 1.1 or 1.5
  --json             prints the report as one JSON object on the last line`

function numbers(name: string, text: string): number[] {
  const list = text.split(',').map(Number)
  if (list.some((x) => !Number.isFinite(x)))
    throw new ForestallError('CONFIG_INVALID', `--${name} = ${text}`, {
      cure: 'Give numbers, for example 1,2,3.',
    })
  return list
}

function parse(args: readonly string[]): Omit<DataEvaluation, 'log'> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string' },
      later: { type: 'boolean', default: false },
      generator: { type: 'boolean', default: false },
      alpha: { type: 'string', default: '0.9,1.1,1.4' },
      seeds: { type: 'string', default: '1,2,3' },
      workload: { type: 'string' },
      'never-worse': { type: 'boolean', default: false },
      plan: { type: 'string', default: '' },
      replicas: { type: 'string' },
    },
  })
  if ((values.data === undefined) === !values.generator)
    throw new ForestallError('CONFIG_INVALID', 'neither or both of --data and --generator are given', {
      cure: 'Name a folder with --data DIR, or take generated load with --generator.',
    })
  if (values.data !== undefined && !existsSync(values.data))
    throw new ForestallError('CONFIG_INVALID', `--data = ${values.data}: there is no such folder`)
  const replicas = values.replicas === undefined ? null : Number(values.replicas)
  if (replicas !== null && replicas !== 1.1 && replicas !== 1.5)
    throw new ForestallError('CONFIG_INVALID', `--replicas = ${values.replicas}`, { cure: 'Set 1.1 or 1.5.' })
  return {
    data: values.data === undefined ? null : resolve(values.data),
    later: values.later,
    alphas: numbers('alpha', values.alpha),
    seeds: numbers('seeds', values.seeds),
    workload: values.workload ?? null,
    neverWorse: values['never-worse'],
    plan: values.plan,
    replicas,
  }
}

/** `forestall evaluate data-sharding`. */
export const DATA_EVALUATION: Evaluation = {
  usage: USAGE,
  run(args, log) {
    const { tables, report, notes } = evaluateData({ ...parse(args), log })
    return { tables, report, notes: notes.length > 0 ? ['## Notes', ...notes] : [] }
  },
}
