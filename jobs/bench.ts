import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { reportError } from './errors-exit.ts'
import { ForestallError } from '#core/ports'

const FOLDER = new URL('./bench/', import.meta.url)

/** Files of the folder that run by themselves; the others are their parts. */
export function cases(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => readFileSync(new URL(file, FOLDER), 'utf8').includes('import.meta.main'))
    .map((file) => file.slice(0, -'.ts'.length))
    .sort()
}

/** What each case measures; a test keeps the list whole. */
export const MEASURES: Readonly<Record<string, string>> = {
  anomaly: 'anomalies of the NAB series: found, missed, false, beside other detectors',
  bounded: 'a worker whose state may not grow beyond a bound: memory and throughput',
  differential: 'windows beside Kafka Streams on seeded, untidy input: every one must be equal',
  forecast: 'accuracy of forecasts on recorded data, or on a CSV of yours; see forecast --help',
  'forecast-speed': 'time of a fit and of a forecast, by series and models',
  latency: 'time from the end of a window to its record',
  moves: 'moves of segments under load with kills: rows lost and doubled, how long writes waited',
  rebalance: 'how long tasks that stay pause when a worker joins or leaves',
  recovery: 'time to the first output after a kill, beside Kafka Streams',
  risk: 'calibration of risks',
  route: 'lookups per second in the route table of a data plane, and the time of its optimiser',
  router: 'the query router beside chproxy and two choices: latency with a slow instance, throughput',
  scale: 'throughput with more keys and more workers',
  sessions: 'session windows beside Kafka Streams',
  sink: 'rows per second into ClickHouse, and rows missing or doubled over kills',
  windows: 'throughput of windows beside Kafka Streams at equal guarantees',
}
const WIDTH = Math.max(...Object.keys(MEASURES).map((name) => name.length))

const usage = (): string => `Usage: npm run bench -- <case> [arguments of the case]

Tables for people first; the last line is one JSON object with the figure, its unit and the targets.

Cases:
${cases()
  .map((name) => `  ${name.padEnd(WIDTH)}  ${MEASURES[name] ?? ''}`)
  .join('\n')}

Most know --short. They start what they need, and measure by the clock: give them the machine for themselves.

Examples:
  $ npm run bench -- moves --short
  $ npm run bench -- forecast --csv sales.csv --horizon 14 --season 7
`

/** Runs one case in a process of its own, so that its figures are those of a fresh one; returns its exit status. */
async function runBench([name, ...rest]: readonly string[]): Promise<number> {
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage())
    return 0
  }
  if (name === undefined || !cases().includes(name)) {
    throw new ForestallError('CONFIG_INVALID', name === undefined ? 'no case named' : `no case "${name}"`, {
      cure: `Name one of ${cases().join(', ')}.`,
    })
  }
  const file = fileURLToPath(new URL(`${name}.ts`, FOLDER))
  const child = spawn(process.execPath, [file, ...rest], { stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

if (import.meta.main) {
  try {
    process.exitCode = await runBench(process.argv.slice(2))
  } catch (error) {
    process.exitCode = reportError(error)
  }
}
