import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { ForestallError } from '#core/ports'

/** Settings that the file of any subsystem may give: of its windows, and how it decides. */
export const COMMON_SETTINGS = {
  scope: z.string().min(1),
  graceMs: z.number().min(0),
  partitions: z.int().positive(),
  maxAheadMs: z.number().min(0),
  idleMs: z.number().positive(),
  mode: z.enum(['dry_run', 'apply']),
}

/** The content of a JSON file. Throws CONFIG_INVALID with file and field; `page` is where its form is told. */
export async function readSettingsFile<T>(file: string, schema: z.ZodType<T>, page: string): Promise<T> {
  let json: unknown
  try {
    json = JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `${file} is not a JSON file that can be read.`, {
      cause,
      cure: `Name a file as in ${page}.`,
    })
  }
  const checked = schema.safeParse(json)
  if (checked.success) return checked.data
  const [issue] = checked.error.issues
  throw new ForestallError(
    'CONFIG_INVALID',
    `${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}.`,
    { cure: `Change ${file}: its form is in ${page}.` },
  )
}

/** What a file gives: a setting that it leaves out keeps its default. */
export const givenIn = (settings: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
