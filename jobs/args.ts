import { InvalidArgumentError } from 'commander'
import type { Part } from '#core/subsystem'
import type { RetentionArgs } from './retention.ts'

/** What every command takes. */
export interface CommonArgs {
  /** Results as JSON on standard output; the last line is one object. */
  readonly json: boolean
  /** Stack traces with errors. */
  readonly verbose: boolean
}

/** `forestall up`: the whole stack, all pipelines, a data plane under live load, a dashboard. */
export interface UpArgs extends CommonArgs {
  /** No dashboard of its own, ends by itself with a summary. */
  readonly headless: boolean
  /** Stops after this time, ms; null: runs until it is stopped. */
  readonly forMs: number | null
  /** Folder of recorded traffic to play; null: the built-in generator. */
  readonly data: string | null
  /** Event time per wall-clock time; Infinity: as fast as it goes. */
  readonly speed: number
  /** Port of the dashboard. */
  readonly port: number
  /** Where the embedded stack keeps everything. */
  readonly dataDir: string
  /** Of everything random: the same seed gives the same load. */
  readonly seed: number
  /** Length of a feature window, ms. */
  readonly windowMs: number
  /** False: no dashboard. */
  readonly web: boolean
  /** Streams of the generator. */
  readonly streams: number
  /** First part of the name of a replay; default `demo` or `replay`. */
  readonly replayId?: string
  /** Words of the subsystems that run: see `DEMO_WORDS`. Default: all. */
  readonly subsystems?: readonly string[]
}

/** A list of words such as `traffic,data`: the first always, in any order. Throws commander's InvalidArgumentError. */
export function parseSubsystems(words: readonly string[], text: string): string[] {
  const names = text.split(',').map((name) => name.trim())
  const found = words.filter((word) => names.includes(word))
  const [first = ''] = words
  if (found.length === names.length && found.includes(first)) return found
  throw new InvalidArgumentError(`Write ${first} or ${words.join(',')}.`)
}

/** `forestall stream`: pipelines on the user's own Kafka. */
export interface StreamArgs extends CommonArgs, RetentionArgs {
  readonly subsystem: string
  readonly topology: Part | 'all'
  /** Stable name of this process among those of the same topology. */
  readonly slot: string
  /** Prefix of all topics and groups; '' is live. */
  readonly prefix: string
  /** Length of a feature window, ms; null: as the subsystem has it. */
  readonly windowMs: number | null
  /** Port of `/metrics`; null: none. */
  readonly metricsPort: number | null
  readonly metricsHost: string
  /** Files with settings, by the option that names them. */
  readonly files: Readonly<Record<string, string | undefined>>
  readonly dataDir: string
}

/** `forestall replay`: recorded data through the pipelines, under topics of its own. */
export interface ReplayArgs extends CommonArgs {
  readonly data: string
  /** Event time per wall-clock time; Infinity: as fast as it goes. */
  readonly speed: number
  /** Names the replay in every decision; its topics begin with `replayPrefix(replayId)`. */
  readonly replayId: string
  /** Length of a feature window, ms. */
  readonly windowMs: number
  readonly dataDir: string
}

/** Prefix of the topics of a replay; '' (live) has none. */
export const replayPrefix = (replayId: string): string => (replayId === '' ? '' : `${replayId}.`)

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of `500ms`, `60s`, `5m`, `2h`, `1d`. Throws commander's InvalidArgumentError. */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim()) ?? []
  const ms = Number(digits) * (UNIT_MS[unit ?? ''] ?? Number.NaN)
  if (!(ms >= 1)) throw new InvalidArgumentError('Write a duration such as 500ms, 60s, 5m, 2h or 1d.')
  return Math.round(ms)
}

/** A speed: a factor above 0, or `max`. Throws commander's InvalidArgumentError. */
export function parseSpeed(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY
  const speed = Number(text)
  if (text.trim() !== '' && Number.isFinite(speed) && speed > 0) return speed
  throw new InvalidArgumentError('Write a factor above 0, such as 60, or max.')
}

/** A parser for whole numbers within bounds; it throws commander's InvalidArgumentError. */
export function integerBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`Write a whole number from ${least} to ${most}.`)
  }
}

/** A parser for names that become part of topics, groups and files; it throws commander's InvalidArgumentError. */
export function parseName(text: string): string {
  if (/^[A-Za-z0-9._-]{1,100}$/.test(text)) return text
  throw new InvalidArgumentError('Write at most 100 letters, digits, dots, dashes and underscores.')
}

/** A point in time, ms since 1970: ISO 8601, or a duration back from `nowMs`. Throws commander's InvalidArgumentError. */
export function parseSince(text: string, nowMs: number): number {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return nowMs - parseDuration(text)
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(ms)) return ms
  throw new InvalidArgumentError('Write a time such as 2026-11-21T10:00:00Z, or how long ago: 30m, 2h, 1d.')
}
