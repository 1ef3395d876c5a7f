import { expect, test } from 'vitest'
import { kafkaSettings } from '../../../infra/local/kafka-settings.ts'

const parse = (text: string): Map<string, string> =>
  new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )

test('one node: nothing has a second replica, and it votes alone', () => {
  const settings = parse(kafkaSettings({ port: 9092, controllerPort: 9093, logDir: '/d' }))
  expect(settings.get('controller.quorum.voters')).toBe('1@127.0.0.1:9093')
  expect(settings.get('default.replication.factor')).toBe('1')
  expect(settings.get('min.insync.replicas')).toBe('1')
  expect(settings.has('broker.session.timeout.ms')).toBe(false)
})

test('three nodes: three replicas of every topic, what is acknowledged is on two, no unclean election', () => {
  const place = { port: 9092, controllerPort: 1002, logDir: '/d', nodeId: 2, voterPorts: [1001, 1002, 1003] }
  const settings = parse(kafkaSettings(place))
  expect(settings.get('node.id')).toBe('2')
  expect(settings.get('controller.quorum.voters')).toBe('1@127.0.0.1:1001,2@127.0.0.1:1002,3@127.0.0.1:1003')
  for (const name of ['default', 'offsets.topic', 'transaction.state.log'])
    expect(settings.get(`${name}.replication.factor`)).toBe('3')
  expect(settings.get('min.insync.replicas')).toBe('2')
  expect(settings.get('transaction.state.log.min.isr')).toBe('2')
  expect(settings.get('unclean.leader.election.enable')).toBe('false')
})

test('clients of a further listener are told to come to the relay; nodes talk past it', () => {
  const listeners = [{ name: 'VIA0', port: 5001, advertisedPort: 6001 }]
  const settings = parse(kafkaSettings({ port: 9092, controllerPort: 9093, logDir: '/d', listeners }))
  expect(settings.get('listeners')).toBe(
    'PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093,VIA0://127.0.0.1:5001',
  )
  expect(settings.get('advertised.listeners')).toBe('PLAINTEXT://127.0.0.1:9092,VIA0://127.0.0.1:6001')
  expect(settings.get('listener.security.protocol.map')).toContain('VIA0:PLAINTEXT')
  expect(settings.get('inter.broker.listener.name')).toBe('PLAINTEXT')
})
