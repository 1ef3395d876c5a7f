import { ForestallError, type SchemaRegistry } from '../../ports/index.ts'

/** A registry in memory, for tests: no compatibility check, ids from 1. */
export function createMemoryRegistry(): SchemaRegistry {
  const texts: string[] = []
  return {
    async register(_subject, schemaJson) {
      const at = texts.indexOf(schemaJson)
      return at >= 0 ? at + 1 : texts.push(schemaJson)
    },
    async schemaById(id) {
      const text = texts[id - 1]
      if (text === undefined)
        throw new ForestallError('RECORD_SCHEMA_UNKNOWN', `schema ${id} is not registered`)
      return text
    },
  }
}
