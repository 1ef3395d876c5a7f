/** What a query router reports to Kafka about itself: its queries and the load of its instances. */
export * from './pipeline-states.ts'
export * from './query-log.ts'
