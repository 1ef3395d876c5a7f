import { inject } from 'vitest'

/** The variables that lead a command to the stack of the run. */
export const stackEnv = (): Record<string, string> => ({
  KAFKA_BROKERS: inject('kafkaBrokers'),
  SCHEMA_REGISTRY_URL: inject('registryUrl'),
  CLICKHOUSE_URL: inject('clickhouseUrl'),
})
