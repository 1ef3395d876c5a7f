import { StatementError } from './statement.ts'

/** An error as ClickHouse's HTTP interface words it. */
export interface Exception {
  readonly status: number
  readonly code: number
  readonly text: string
}

/** The status per error code, as in ClickHouse's `exceptionCodeToHTTPStatus.cpp`; all others are 500. */
const STATUS = new Map<number, number>([
  [194, 401],
  ...[192, 193, 497, 512, 516].map((code) => [code, 403] as const),
  ...[6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223].map(
    (code) => [code, 400] as const,
  ),
  ...[321, 376, 427, 441, 675, 676].map((code) => [code, 400] as const),
  ...[46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511].map((code) => [code, 404] as const),
  [229, 413],
  [48, 501],
  ...[76, 209, 439].map((code) => [code, 503] as const),
  [381, 411],
  [159, 408],
  [779, 415],
])

const statusOf = (code: number): number => STATUS.get(code) ?? 500

/** An error of the host itself, in ClickHouse's words. */
export const refusal = (code: number, name: string, message: string): StatementError =>
  new StatementError(code, name, message)

/** Words an error of the engine or of the host as ClickHouse does. `spoolDir` never reaches the client. */
export function toException(error: unknown, version: string, spoolDir: string): Exception {
  if (error instanceof StatementError) {
    const text = `Code: ${error.code}. DB::Exception: ${error.message}. (${error.errorName})`
    return { status: statusOf(error.code), code: error.code, text: withVersion(text, version) }
  }
  const message = error instanceof Error ? error.message : String(error)
  const code = Number(/^Code: (\d+)\./.exec(message)?.[1] ?? 1002)
  const known = /^Code: \d+\./.test(message)
    ? message
    : `Code: 1002. DB::Exception: ${message}. (UNKNOWN_EXCEPTION)`
  return { status: statusOf(code), code, text: withVersion(known.replaceAll(spoolDir, ''), version) }
}

const withVersion = (text: string, version: string): string => `${text.trimEnd()} (version ${version})\n`
