/** Metrics of one plan, by name in camelCase. */
export type Metrics = Readonly<Record<string, number>>

/** A figure that was aimed at. */
export interface Target {
  readonly name: string
  readonly value: number
  readonly target: number
  readonly met: boolean
}

/** What `forestall evaluate S --json` prints as its last line. */
export interface EvaluationReport {
  readonly subsystem: string
  /** Names of the data sets evaluated. */
  readonly data: string
  readonly plans: Readonly<Record<string, Metrics>>
  readonly targets: readonly Target[]
  readonly checks: Readonly<Record<string, boolean>>
}

/** A table for people: one row per plan. */
export interface ReportTable {
  readonly title: string
  readonly columns: readonly Column[]
  readonly rows: readonly { readonly plan: string; readonly metrics: Metrics }[]
}

/** A column of a table: the metric's key, its heading and its decimals. */
export interface Column {
  readonly key: string
  readonly heading: string
  readonly decimals: number
}

/** A target that is met when the value does not exceed it. */
export function atMost(name: string, value: number, target: number): Target {
  return { name, value, target, met: value <= target }
}

/** The table as Markdown, columns padded. */
export function renderTable(table: ReportTable): string {
  const cells = table.rows.map((row) => [
    row.plan,
    ...table.columns.map(({ key, decimals }) => (row.metrics[key] ?? NaN).toFixed(decimals)),
  ])
  const head = ['plan', ...table.columns.map((column) => column.heading)]
  const widths = head.map((h, c) => Math.max(h.length, ...cells.map((row) => row[c]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join(' | ')} |`
  const rule = `|${widths.map((w, c) => (c === 0 ? '-'.repeat(w + 2) : `${'-'.repeat(w + 1)}:`)).join('|')}|`
  return [`## ${table.title}`, line(head), rule, ...cells.map(line)].join('\n')
}

/** Targets and checks for people; the checks in full only where one failed. */
export function renderVerdict(report: EvaluationReport): string {
  const targets = report.targets.map(
    (t) =>
      `${t.met ? 'met   ' : 'missed'}  ${t.name}: ${Number(t.value.toPrecision(6))} (target ${Number(t.target.toPrecision(6))})`,
  )
  const names = Object.keys(report.checks)
  const failed = names.filter((name) => report.checks[name] === false)
  const checks = failed.map((name) => `NOT reproduced: ${name}`)
  return [
    ...(targets.length === 0 ? [] : ['## Targets', ...targets]),
    `## Checks: ${names.length - failed.length} of ${names.length} reproduced`,
    ...checks,
  ].join('\n')
}

/** 0 when every check was reproduced (whether or not a target was met), 1 otherwise. */
export function exitStatus(report: EvaluationReport): 0 | 1 {
  return Object.values(report.checks).every(Boolean) ? 0 : 1
}
