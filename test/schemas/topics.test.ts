import { describe, expect, it } from 'vitest'
import { parseRecord } from '../../schemas/avro.ts'
import { AVRO, baseTopicName, TOPICS, topicDefinition, topicName, topicSpec } from '../../schemas/index.ts'

describe('topics', () => {
  it('names each topic once', () => {
    const names = TOPICS.map((t) => t.name)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain('dlq.telemetry.flows')
    expect(names).not.toContain('dlq.dlq.telemetry.flows')
  })

  it('keys every topic by a field its record has', () => {
    const keyed = TOPICS.filter((t) => t.keyField !== null && t.record !== null)
    expect(keyed.length).toBeGreaterThan(10)
    const wrong = keyed.filter((t) => {
      const fields = parseRecord(AVRO[t.record ?? 'Flow']).fields.map((f) => f.name)
      return !fields.includes(t.keyField ?? '')
    })
    expect(wrong).toEqual([])
  })

  it('never lets Kafka delete by event time', () => {
    const deleted = TOPICS.filter((t) => {
      const { configs } = topicSpec(t.name)
      return configs['cleanup.policy'] !== 'compact' && configs['retention.ms'] !== '-1'
    })
    expect(deleted).toEqual([])
  })

  it('puts replays under a prefix, dead letters too, and takes it off again', () => {
    expect(topicName('telemetry.flows')).toBe('telemetry.flows')
    expect(topicName('dlq.telemetry.flows', 'r1.')).toBe('r1.dlq.telemetry.flows')
    expect(baseTopicName('r1.dlq.telemetry.flows', 'r1.')).toBe('dlq.telemetry.flows')
    expect(baseTopicName('telemetry.flows', 'r1.')).toBe('telemetry.flows')
    expect(topicSpec('telemetry.flows', { prefix: 'r1.', replicationFactor: 3 })).toMatchObject({
      name: 'r1.telemetry.flows',
      partitions: 4,
      replicationFactor: 3,
    })
    expect(topicSpec('telemetry.flows')).not.toHaveProperty('replicationFactor')
  })

  it('has dead letters for the raw topics of adapters, and refuses undeclared names', () => {
    expect(topicDefinition('dlq.flows').record).toBe('DeadLetter')
    expect(() => topicDefinition('telemetry.flow')).toThrow('not declared')
  })
})
