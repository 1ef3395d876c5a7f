import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ForestallError } from '#core/ports'

const NAME = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/)

const SCHEMA = z.strictObject({
  /** Names the write log and the entities of decisions. */
  service: NAME,
  instances: z
    .array(
      z.strictObject({
        name: NAME,
        url: z
          .url({ protocol: /^https?$/ })
          .refine((url) => !URL.canParse(url) || new URL(url).username === '', {
            error: 'credentials of a URL are not used: set user, and FORESTALL_ROUTER_PASSWORD',
          }),
      }),
    )
    .min(1)
    .max(255),
  tables: z.array(
    z.strictObject({
      database: z.string().min(1).default('default'),
      table: z.string().min(1),
      keyColumn: z.string().min(1),
      keyType: z.enum(['string', 'integer', 'uuid', 'date']).default('string'),
    }),
  ),
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8123),
  segments: z.int().min(1).max(65_536).default(256),
  /** Replicas of each segment before decisions say otherwise. */
  replicas: z.int().min(1).default(1),
  /** Whether this router applies the log at the instances: exactly one router of a service does. */
  apply: z.boolean().default(true),
  /** Partitions of the write log: for ever. */
  partitions: z.int().min(1).max(1024).default(4),
  /** Instance of the tables that are not sharded. Default: the first. */
  home: NAME.optional(),
  fanOut: z.enum(['refuse', 'first', 'all']).default('refuse'),
  /**
   * `header`: whoever sends X-Forestall-Change: all changes every instance, as the user of the router. `all`: anybody
   * does. Only where every client may.
   */
  changes: z.enum(['refuse', 'header', 'all']).default('refuse'),
  expressions: z.enum(['refuse', 'evaluate']).default('refuse'),
  acknowledge: z.enum(['log', 'first', 'all']).default('first'),
  hedge: z.boolean().default(false),
  bindSessions: z.boolean().default(true),
  freshWithinMs: z.int().min(0).default(10_000),
  /** User that the router acts as towards the instances; the password comes from FORESTALL_ROUTER_PASSWORD. */
  user: z.string().optional(),
})

/** Settings of a query router, with their defaults. */
export type QueryRouterConfig = z.infer<typeof SCHEMA>

/** Checks settings. Throws CONFIG_INVALID with the first field that cannot be. */
export function queryRouterConfig(
  value: unknown,
  where = 'the settings of the query router',
): QueryRouterConfig {
  const parsed = SCHEMA.safeParse(value)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const path = issue?.path.join('.') ?? ''
    throw new ForestallError(
      'CONFIG_INVALID',
      `${where}: ${path === '' ? '' : `${path}: `}${issue?.message}.`,
    )
  }
  const { home, instances } = parsed.data
  if (home !== undefined && !instances.some(({ name }) => name === home)) {
    throw new ForestallError('CONFIG_INVALID', `${where}: home: there is no instance ${home}.`)
  }
  if (new Set(instances.map(({ name }) => name)).size < instances.length) {
    throw new ForestallError('CONFIG_INVALID', `${where}: instances: two have the same name.`)
  }
  return parsed.data
}

/** Reads a JSON file of settings. Throws CONFIG_INVALID. */
export function readQueryRouterConfig(file: string): QueryRouterConfig {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    const what = (cause as Error).message
    throw new ForestallError('CONFIG_INVALID', `${file} is not a JSON file that can be read: ${what}.`, {
      cause,
      cure: 'Name a JSON file with the fields of docs/how-to/query-router.md.',
    })
  }
  return queryRouterConfig(value, file)
}
