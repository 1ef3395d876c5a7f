import { DEFAULT_DECISION_SETTINGS, type DecisionSettings } from '#core/decisions'
import {
  checkSettings,
  DEFAULT_WINDOW_SETTINGS,
  type Refuse,
  refusing,
  type WindowSettings,
} from '#core/features'
import type { Routing } from './placement/index.ts'

/** A service whose data is cut into segments and spread over instances. */
export interface DataService {
  readonly service: string
  /** Instances that may hold segments, in a fixed order: a new one goes to the end. */
  readonly instances: readonly string[]
  /** Most replicas per segment, on average: 1.1 holds 10 % of the segments twice. */
  readonly replicas: number
  /** Work per window that one instance can do, where none reports its capacity. */
  readonly capacity: number
  /** How many instances the scaler may ask for. */
  readonly minInstances: number
  readonly maxInstances: number
  /** Share of the work that may be late for want of instances, 0 to 1 without both; default 0.003. */
  readonly lateShare?: number
  /**
   * Whether instances come and go as decided: segments lie on the first ones of the list, as many as were decided and
   * report themselves; the others are emptied, so that they can be stopped. Default false: on all of the list.
   */
  readonly elastic?: boolean
}

/** What data-sharding is told: its services, its time scale, and what the operator wants. */
export interface DataConfig extends WindowSettings, DecisionSettings {
  readonly services: readonly DataService[]
  /** Segments of every service. */
  readonly segments: number
  /** How reads are shared among replicas: the query router goes by live load. */
  readonly routing: Routing
  /** Length of the daily cycle in windows; the weekly one is seven of it. */
  readonly dayWindows: number
  /** Copies that may be started per window and service. */
  readonly copiesPerWindow: number
  /** Windows until an instance that is asked for is up. */
  readonly leadWindows: number
  /** Windows that fewer instances must be wanted before there are fewer. */
  readonly patienceWindows: number
  /** How long an instance must be reported down, in whole windows, before its segments are placed elsewhere, ms. */
  readonly downAfterMs: number
  /** Windows per interval of the query patterns, which are published once per interval. */
  readonly patternWindows: number
  /** Patterns less likely than this are not published. */
  readonly leastProbability: number
  /** Most patterns kept per partition. */
  readonly maxPatterns: number
}

/** Defaults for live load in windows of 15 minutes. */
export const DEFAULT_DATA_CONFIG: Omit<DataConfig, 'services'> = {
  ...DEFAULT_WINDOW_SETTINGS,
  ...DEFAULT_DECISION_SETTINGS,
  segments: 256,
  routing: 'live',
  windowMs: 900_000,
  graceMs: 5_000,
  dayWindows: 96,
  copiesPerWindow: 5,
  leadWindows: 2,
  patienceWindows: 4,
  downAfterMs: 10_000,
  patternWindows: 4,
  leastProbability: 0.01,
  maxPatterns: 20_000,
}

/** Work that may be late where nothing is said. */
export const LATE_SHARE = 0.003

/** Most instances that may be asked for: counts are tried one by one. */
const MOST_INSTANCES = 1000

const POSITIVE = [
  'segments',
  'dayWindows',
  'copiesPerWindow',
  'leadWindows',
  'patienceWindows',
  'downAfterMs',
  'patternWindows',
  'maxPatterns',
] as const

function checkService(service: DataService, wrong: Refuse): void {
  const { service: name, instances, replicas, capacity, minInstances, maxInstances } = service
  if (name === '' || /[|/]/.test(name)) wrong('services', name, 'Name services without | and /.')
  if (instances.length < 1 || instances.length > 255 || new Set(instances).size !== instances.length)
    wrong(`services.${name}.instances`, instances, 'Name 1 to 255 different instances.')
  if (!(replicas >= 1 && replicas <= instances.length))
    wrong(`services.${name}.replicas`, replicas, `Set 1 to the number of instances (${instances.length}).`)
  if (!(capacity > 0)) wrong(`services.${name}.capacity`, capacity, 'Set a number above 0.')
  if (maxInstances > MOST_INSTANCES)
    wrong(`services.${name}.maxInstances`, maxInstances, `Set ${MOST_INSTANCES} or less.`)
  if (!(minInstances >= 1 && maxInstances >= minInstances))
    wrong(`services.${name}.minInstances`, minInstances, 'Set 1 or more, and no more than maxInstances.')
  const { lateShare = LATE_SHARE } = service
  if (!(lateShare > 0 && lateShare < 1))
    wrong(`services.${name}.lateShare`, lateShare, 'Set a share above 0 and below 1, such as 0.003.')
  if (service.elastic === true && maxInstances > instances.length)
    wrong(`services.${name}.maxInstances`, maxInstances, `Name as many instances (${instances.length} are).`)
}

/** Fills in the defaults and checks. Throws CONFIG_INVALID naming field, value and cure. */
export function dataConfig(
  given: Partial<DataConfig> & { readonly services: readonly DataService[] },
): DataConfig {
  const config = { ...DEFAULT_DATA_CONFIG, ...given }
  const wrong: Refuse = refusing('data-sharding')
  checkSettings(config, POSITIVE, wrong)
  const names = config.services.map(({ service }) => service)
  if (names.length === 0 || new Set(names).size !== names.length)
    wrong('services', names, 'Name at least one service, each once.')
  for (const service of config.services) checkService(service, wrong)
  return config
}

const DIGITS = 3

/** Name of a segment: the entity of its decisions. */
export const segmentId = (service: string, segment: number): string =>
  `${service}/${String(segment).padStart(DIGITS, '0')}`

/** Most replicas of all segments of a service. */
export const replicaCap = (config: DataConfig, service: DataService): number =>
  Math.round(config.segments * service.replicas)
