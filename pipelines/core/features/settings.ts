import { ForestallError } from '#core/ports'

/** What every subsystem is told about its feature windows and the records that fill them. */
export interface WindowSettings {
  /** What is decided together. */
  readonly scope: string
  /** Length of the feature windows, ms. */
  readonly windowMs: number
  /** How long a window waits for records that are out of order, ms. */
  readonly graceMs: number
  /** Partitions of the internal topics and of the features that many keys have. */
  readonly partitions: number
  /** Earliest event time that is believed, ms since 1970. */
  readonly earliestMs: number
  /** A record may be this far ahead of its Kafka timestamp, ms. */
  readonly maxAheadMs: number
  /** A silent source partition holds others up for this long, ms of wall clock. */
  readonly idleMs: number
  readonly maxRecordBytes: number
}

/** Defaults for live records in windows of 10 s. */
export const DEFAULT_WINDOW_SETTINGS: WindowSettings = {
  scope: 'default',
  windowMs: 10_000,
  graceMs: 500,
  partitions: 4,
  earliestMs: Date.UTC(2000, 0, 1),
  maxAheadMs: 60_000,
  idleMs: 5_000,
  maxRecordBytes: 1 << 20,
}

/** Refuses a setting: throws CONFIG_INVALID with field, value and cure. */
export type Refuse = (field: string, value: unknown, cure: string) => never

/** How the settings of a subsystem are refused, under its name. */
export const refusing =
  (subsystem: string): Refuse =>
  (field, value, cure) => {
    throw new ForestallError('CONFIG_INVALID', `${subsystem}.${field} = ${JSON.stringify(value)}`, { cure })
  }

/** Checks the settings of the windows, and that the further numbers named are above 0. Throws CONFIG_INVALID. */
export function checkSettings<Config extends WindowSettings>(
  config: Config,
  positive: readonly (keyof Config & string)[],
  refuse: Refuse,
): void {
  for (const field of ['windowMs', 'partitions', ...positive] as const)
    if (!((config[field] as number) > 0)) refuse(field, config[field], 'Set a number above 0.')
  if (!(config.graceMs >= 0)) refuse('graceMs', config.graceMs, 'Set 0 or more.')
}
