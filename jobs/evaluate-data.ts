import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ForestallError } from '#core/ports'
import { type DataEvaluation, evaluateData } from '../pipelines/data-sharding/evaluate.ts'
import type { Evaluation } from './evaluate.ts'

const USAGE = `usage: forestall evaluate data-sharding --data DIR | --generator [options] [--json]
  --data DIR         queries.csv.gz (hotel searches), departures.csv.gz (flights), or any CSV or JSON lines
                     (also .gz) with time, key[, work]: docs/how-to/evaluate.md
  --later            takes the second half-year of flights only
  --generator        takes generated load: --alpha 0.9,1.1,1.4 and --seeds 1,2,3
  --workload NAME    another kind of load: sweep, fast sweep, slow sweep, sudden, flip, ramp, noise,
                     alternating, periodic, weekly, or all; with --seeds, without --alpha
  --never-worse      compares ours with the best simple plan only: at 1.1 and 1.5 replicas and at equal split;
                     with --generator alone on every kind of load
  --plan TEXT        only plans with this in their name, and no tables of forecasts and scaling
  --replicas 1.1     only plans with so many replicas per segment: 1.1 or 1.5
  --json             prints the report as one JSON object on the last line

Progress goes to standard error. Exit status: 0 sound, targets met or not; 1 a check value was not reproduced;
2 arguments or data.

Examples:
  $ npm run forestall -- evaluate data-sharding --data queries --never-worse --json
  $ npm run forestall -- evaluate data-sharding --generator --alpha 1.1 --seeds 1 --replicas 1.1
  $ npm run forestall -- evaluate data-sharding --generator --workload sweep --seeds 101`

const OPTIONS = {
  data: { type: 'string' },
  later: { type: 'boolean' },
  generator: { type: 'boolean' },
  alpha: { type: 'string' },
  seeds: { type: 'string' },
  workload: { type: 'string' },
  'never-worse': { type: 'boolean' },
  plan: { type: 'string' },
  replicas: { type: 'string' },
} as const

/** Options that would have no effect beside another one. */
const APART: readonly (readonly [given: string, without: string])[] = [
  ['alpha', 'data'],
  ['seeds', 'data'],
  ['workload', 'data'],
  ['later', 'generator'],
  ['alpha', 'workload'],
  ['plan', 'never-worse'],
  ['replicas', 'never-worse'],
]

const refuse = (message: string, cure: string) => new ForestallError('CONFIG_INVALID', message, { cure })

function numbers(name: string, text: string, most: number, isWhole: boolean): number[] {
  const list = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)))
  if (list.every((x) => x >= 0 && x <= most && (!isWhole || Number.isInteger(x)))) return list
  throw refuse(
    `--${name} = ${text}`,
    `Give ${isWhole ? 'whole numbers' : 'numbers'} from 0 to ${most}, for example ${isWhole ? '1,2,3' : '0.9,1.1'}.`,
  )
}

function parse(args: readonly string[]): Omit<DataEvaluation, 'log'> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS })
  if ((values.data === undefined) === (values.generator !== true))
    throw refuse(
      'neither or both of --data and --generator are given',
      'Name a folder with --data DIR, or take generated load with --generator.',
    )
  const given = new Set(Object.keys(values))
  for (const [one, other] of APART)
    if (given.has(one) && given.has(other))
      throw refuse(`--${one} has no effect with --${other}`, 'Leave one of the two out.')
  if (values.replicas !== undefined && values.replicas !== '1.1' && values.replicas !== '1.5')
    throw refuse(`--replicas = ${values.replicas}`, 'Set 1.1 or 1.5.')
  return {
    data: values.data === undefined ? null : resolve(values.data),
    later: values.later ?? false,
    alphas: numbers('alpha', values.alpha ?? '0.9,1.1,1.4', 10, false),
    seeds: numbers('seeds', values.seeds ?? '1,2,3', 2 ** 32 - 1, true),
    workload: values.workload ?? null,
    neverWorse: values['never-worse'] ?? false,
    plan: values.plan ?? '',
    replicas: values.replicas === undefined ? null : Number(values.replicas),
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
