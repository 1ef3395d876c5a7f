import type { ParsedSchema } from './schema.ts'

/** Confluent's compatibility levels. */
export const COMPATIBILITY_LEVELS = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const

/** One of Confluent's compatibility levels. */
export type CompatibilityLevel = (typeof COMPATIBILITY_LEVELS)[number]

/** What keeps `reader` from reading what `writer` wrote, by Avro's schema resolution; undefined if nothing. */
function obstacle(reader: ParsedSchema, writer: ParsedSchema): string | undefined {
  try {
    reader.type.createResolver(writer.type)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * Why `candidate` may not follow `versions` (oldest first) at this level; empty if it may.
 * BACKWARD: the new schema reads old records; FORWARD: the old ones read new records; transitive: of all
 * versions, not only the last.
 */
export function incompatibilities(
  candidate: ParsedSchema,
  versions: readonly ParsedSchema[],
  level: CompatibilityLevel,
): string[] {
  if (level === 'NONE') return []
  const [direction, transitive] = level.split('_')
  const against = transitive ? versions : versions.slice(-1)
  const messages: string[] = []
  for (const version of against) {
    const backward = direction === 'FORWARD' ? undefined : obstacle(candidate, version)
    const forward = direction === 'BACKWARD' ? undefined : obstacle(version, candidate)
    if (backward !== undefined) messages.push(`the new schema cannot read old records: ${backward}`)
    if (forward !== undefined) messages.push(`an old schema cannot read new records: ${forward}`)
  }
  return messages
}
