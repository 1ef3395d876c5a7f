import type { TransactionalProducer } from '../ports/index.ts'
import type { Counters } from './counters.ts'
import type { TaskContext } from './task.ts'
import type { Transit } from './transit.ts'
import type { WorkerOptions } from './worker.ts'

/** What the tasks of a worker see of the world: what they emit goes into its transaction. */
export function taskContext(
  options: WorkerOptions,
  producer: TransactionalProducer,
  counters: Counters,
  topics: Pick<TaskContext, 'partitionsOf' | 'topicName' | 'merged'>,
  transit: Transit,
): TaskContext {
  const merges = new Set(
    Object.values(options.topology.windows).flatMap(({ merge }) =>
      merge === undefined ? [] : [topics.topicName(merge.topic)],
    ),
  )
  return {
    out: {
      emit(topic, partition, timestampMs, key, value, headers) {
        counters.recordsOut++
        if (value !== null && merges.has(topic)) transit.emitted(value.length)
        producer.add(topic, partition, timestampMs, key, value, headers)
      },
    },
    encoder: options.encoder,
    readers: options.readers,
    clock: options.clock,
    counters,
    ...topics,
    warn: (error) => options.onWarning?.(error),
  }
}
