import { z } from 'zod'
import { dataConfig, type DataConfig, LATE_SHARE } from '#data-sharding'
import { COMMON_SETTINGS, givenIn, readSettingsFile } from './settings-file.ts'

const Service = z.strictObject({
  service: z.string().min(1),
  instances: z.array(z.string().min(1)).min(1),
  replicas: z.number().min(1).default(1.1),
  capacity: z.number().positive(),
  minInstances: z.int().positive().default(1),
  maxInstances: z.int().positive(),
  lateShare: z.number().gt(0).lt(1).default(LATE_SHARE),
  elastic: z.boolean().default(false),
})
/** Settings of DataConfig that a file may give; what is left out keeps its default. */
const Settings = z
  .strictObject({
    ...COMMON_SETTINGS,
    segments: z.int().positive(),
    routing: z.enum(['live', 'equal']),
    dayWindows: z.int().positive(),
    copiesPerWindow: z.int().positive(),
    leadWindows: z.int().positive(),
    patienceWindows: z.int().positive(),
    downAfterMs: z.number().positive(),
    patternWindows: z.int().positive(),
    leastProbability: z.number().min(0).max(1),
    maxPatterns: z.int().positive(),
    seed: z.int().min(0),
  })
  .partial()
const File = z.strictObject({ services: z.array(Service).min(1), settings: Settings.default({}) })

const DAY_MS = 86_400_000

/**
 * Settings of data-sharding from a JSON file: `{"services": [{"service", "instances", "replicas", "capacity",
 * "minInstances", "maxInstances"}], "settings": {…}}`; the capacity is work per window. A day has as many windows as fit
 * into it, unless the file says otherwise. Throws CONFIG_INVALID with file and field.
 */
export async function readServicesFile(file: string, windowMs: number): Promise<DataConfig> {
  const { services, settings } = await readSettingsFile(file, File, 'docs/how-to/data-sharding.md')
  return dataConfig({
    dayWindows: Math.max(1, Math.round(DAY_MS / windowMs)),
    ...(givenIn(settings) as Partial<DataConfig>),
    services,
    windowMs,
  })
}
