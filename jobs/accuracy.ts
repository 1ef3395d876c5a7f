import { renderTable } from '#core/evaluation'
import { systemClock, type Warehouse } from '#core/ports'
import { type AccuracyRow, isWorse, readAccuracy } from './accuracy/query.ts'
import { writeAlerts } from './accuracy/alerts.ts'
import { type CommonArgs, replayPrefix } from './args.ts'
import { type Connections, findConnections, findReplay, openBroker, openCodec, openRows } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'

/** `forestall accuracy`: how good the forecasts were that were issued. */
export interface AccuracyArgs extends CommonArgs {
  /** Issued since, ms; null: all. */
  readonly sinceMs: number | null
  /** Rows shown, worst first. */
  readonly worst: number
  /** One row per model version. */
  readonly versions: boolean
  /** Raise and withdraw alerts on `alerts.forecasts`. */
  readonly alert: boolean
  /** Of a replay; '' is live. */
  readonly replayId: string
  readonly dataDir: string
}

/** Means over all series and horizons, each row counting the same. */
interface Means {
  readonly series: number
  readonly forecasts: number
  readonly mase: number | null
  readonly seasonalNaiveMase: number | null
  readonly pinball: number | null
  readonly msis: number | null
  readonly coverage95: number | null
  /** Rows whose model is worse than the seasonal naive. */
  readonly worse: number
}

/** What `--json` prints beside the rows. */
export interface AccuracySummary extends Means {
  readonly bySubsystem: Readonly<Record<string, Means>>
}

/** Prints accuracy, worst first. Returns 1 if some model is worse than the seasonal naive. */
export async function runAccuracy(args: AccuracyArgs): Promise<ExitCode> {
  const found = findConnections(args.dataDir)
  const prefix = replayPrefix(await findReplay(found, args.replayId))
  const warehouse = await openRows(found, prefix)
  try {
    const rows = await rowsOf(warehouse, args)
    const worse = rows.filter(isWorse)
    if (args.alert) {
      const { raised, withdrawn } = await alert(found, prefix, worse)
      process.stderr.write(`alerts: ${raised} raised, ${withdrawn} withdrawn\n`)
    }
    const shown = rows.toSorted((a, b) => badness(b) - badness(a)).slice(0, args.worst)
    const summary = summarise(rows)
    process.stdout.write(
      args.json ? `${JSON.stringify({ ...summary, rows: shown })}\n` : `${text(summary, shown)}\n`,
    )
    return worse.length > 0 ? 1 : 0
  } finally {
    await warehouse.close()
  }
}

const rowsOf = (warehouse: Warehouse, { sinceMs, versions }: AccuracyArgs): Promise<AccuracyRow[]> =>
  readAccuracy(warehouse, { sinceMs: sinceMs ?? 0, by: versions ? 'version' : 'series' })

async function alert(found: Connections, prefix: string, worse: readonly AccuracyRow[]) {
  const broker = await openBroker(found, 'forestall-accuracy')
  try {
    const codec = await openCodec(found)
    await codec.prepare([{ topic: 'alerts.forecasts', record: 'ForecastAlert' }])
    return await writeAlerts({ broker, codec, clock: systemClock, prefix }, worse)
  } finally {
    await broker.close()
  }
}

/** Loss against the seasonal naive; what has none comes last. */
const badness = ({ mase, seasonal_naive_mase: naive }: AccuracyRow): number =>
  mase === null ? -1 : naive !== null && naive > 0 ? mase / naive : mase

function summarise(rows: readonly AccuracyRow[]): AccuracySummary {
  const parts = Map.groupBy(rows, ({ subsystem }) => subsystem)
  const bySubsystem = Object.fromEntries([...parts].map(([name, own]) => [name, meansOf(own)]))
  return { ...meansOf(rows), bySubsystem }
}

function meansOf(rows: readonly AccuracyRow[]): Means {
  const meanOf = (pick: (row: AccuracyRow) => number | null): number | null => {
    const known = rows.map(pick).filter((value) => value !== null)
    return known.length > 0 ? known.reduce((sum, value) => sum + value, 0) / known.length : null
  }
  return {
    series: new Set(rows.map((row) => `${row.subsystem}|${row.scope}|${row.entity}|${row.metric}`)).size,
    forecasts: rows.reduce((sum, row) => sum + row.forecasts, 0),
    mase: meanOf((row) => row.mase),
    seasonalNaiveMase: meanOf((row) => row.seasonal_naive_mase),
    pinball: meanOf((row) => row.scaled_pinball),
    msis: meanOf((row) => row.msis),
    coverage95: meanOf((row) => row.coverage_95),
    worse: rows.filter(isWorse).length,
  }
}

function text(summary: AccuracySummary, shown: readonly AccuracyRow[]): string {
  const { series, forecasts, worse, bySubsystem } = summary
  const say = (value: number | null) => (value === null ? '-' : value.toFixed(3))
  const table = renderTable({
    title: `${series} series, ${forecasts} forecasts scored; worst against the seasonal naive first`,
    columns: [
      { key: 'mase', heading: 'MASE', decimals: 3 },
      { key: 'naive', heading: 'seasonal naive', decimals: 3 },
      { key: 'pinball', heading: 'pinball', decimals: 3 },
      { key: 'coverage', heading: 'coverage 95 %', decimals: 3 },
      { key: 'msis', heading: 'MSIS', decimals: 2 },
      { key: 'forecasts', heading: 'forecasts', decimals: 0 },
    ],
    rows: shown.map((row) => ({
      plan: `${row.subsystem}: ${row.entity} ${row.metric} +${row.horizon_ms / 1000} s ${row.model}`,
      metrics: {
        mase: row.mase ?? Number.NaN,
        naive: row.seasonal_naive_mase ?? Number.NaN,
        pinball: row.scaled_pinball ?? Number.NaN,
        coverage: row.coverage_95,
        msis: row.msis ?? Number.NaN,
        forecasts: row.forecasts,
      },
    })),
  })
  const means = (name: string, of: Means) =>
    `${name}: ${of.series} series, mean MASE ${say(of.mase)} (seasonal naive ${say(of.seasonalNaiveMase)}), pinball ${say(of.pinball)}, ` +
    `coverage ${say(of.coverage95)}, MSIS ${say(of.msis)}`
  return [
    table,
    ...Object.entries(bySubsystem).map(([name, of]) => means(name, of)),
    worse > 0
      ? `${worse} rows are worse than the seasonal naive`
      : 'no model is worse than the seasonal naive',
  ].join('\n')
}
