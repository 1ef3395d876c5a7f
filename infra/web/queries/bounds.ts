/** The metric that streams are forecast, judged and drawn by. */
export const METRIC = 'bytes_per_second'
/** Appended to every query: a page must never load ClickHouse for long. */
export const BOUNDED = 'SETTINGS max_execution_time = 10'

/** SQL of a DateTime64(3) column as ms since 1970. */
export const ms = (column: string): string => `toUnixTimestamp64Milli(${column})`

/** SQL of a DateTime64(3) from a bound parameter in ms. */
export const atMs = (parameter: string): string => `fromUnixTimestamp64Milli({${parameter}:Int64})`
