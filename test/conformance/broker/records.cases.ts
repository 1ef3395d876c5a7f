import { expect, test } from 'vitest'
import { bytes, createTopic, partitionsOf, readAll, values } from './bench.ts'
import type { Bench } from './bench.ts'

/** What is written is what is read. */
export function recordCases(bench: () => Bench): void {
  test('records keep their order, offsets and timestamps within a partition', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 2)
    const producer = broker.producer()
    for (let i = 0; i < 100; i++) producer.add(topic, i % 2, 5000 - i, bytes(`k${i}`), bytes(`v${i}`))
    await producer.flush()
    expect(producer.pendingBytes).toBe(0)
    const seen = await readAll(broker, topic, { partitions: 2 })
    for (const partition of [0, 1]) {
      const mine = seen.filter((s) => s.partition === partition)
      expect(mine.map((s) => s.offset)).toEqual(Array.from({ length: 50 }, (_, i) => i))
      expect(mine.map((s) => s.key)).toEqual(Array.from({ length: 50 }, (_, i) => `k${2 * i + partition}`))
      expect(mine.map((s) => s.timestampMs)).toEqual(
        Array.from({ length: 50 }, (_, i) => 5000 - 2 * i - partition),
      )
    }
  })

  test('headers keep their order, empty values and letters', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker)
    const producer = broker.producer()
    const headers = [
      ['trace', 'abc'],
      ['leer', ''],
      ['größe', 'ü'],
      ['trace', 'again'],
      ['long', 'x'.repeat(300)],
    ] as const
    producer.add(
      topic,
      0,
      1,
      null,
      bytes('with'),
      headers.map(([name, value]) => [name, bytes(value)] as const),
    )
    producer.add(topic, 0, 1, null, null)
    await producer.close()
    const seen = await readAll(broker, topic)
    expect(seen.map((s) => s.headers)).toEqual([headers, []])
  })

  test('null and empty keys and values stay different', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker)
    const producer = broker.producer()
    const cases: [string | null, string | null][] = [
      [null, null],
      [null, ''],
      ['', null],
      ['', ''],
      ['k', null],
      [null, 'v'],
    ]
    for (const [key, value] of cases)
      producer.add(topic, 0, 1, key === null ? null : bytes(key), value === null ? null : bytes(value))
    await producer.close()
    expect((await readAll(broker, topic)).map((s) => [s.key, s.value])).toEqual(cases)
  })

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'compression %s changes nothing',
    async (compression) => {
      const broker = bench().connect({ compression })
      const topic = await createTopic(broker)
      const producer = broker.producer()
      const wanted = Array.from({ length: 1000 }, (_, i) => `value ${i} ${'abc'.repeat(i % 7)}`)
      for (const value of wanted) producer.add(topic, 0, 1, null, bytes(value))
      await producer.close()
      expect(values(await readAll(broker, topic))).toEqual(wanted)
    },
  )

  test('a record of 5 MB passes between small ones', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 1, { 'max.message.bytes': String(8 << 20) })
    const large = Buffer.alloc(5 << 20)
    for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i) // does not compress
    const producer = broker.producer()
    producer.add(topic, 0, 1, null, bytes('before'))
    producer.add(topic, 0, 1, null, large)
    producer.add(topic, 0, 1, null, bytes('after'))
    await producer.close()
    const lengths: number[] = []
    let equal = false
    const reader = broker.readPartitions({
      partitions: [{ topic, partition: 0, from: 'earliest' }],
      until: 'end',
      onBatch(cursor) {
        while (cursor.next()) {
          lengths.push(cursor.valueLength)
          const value = cursor.buffer.subarray(cursor.valueStart, cursor.valueStart + cursor.valueLength)
          if (value.length === large.length) equal = value.equals(large)
        }
      },
    })
    await reader.done
    await reader.close()
    expect(lengths).toEqual([6, large.length, 5])
    expect(equal).toBe(true)
  })

  test('many records come in batches, all of them, in order', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker)
    const producer = broker.producer()
    const count = 50_000
    for (let i = 0; i < count; i++) producer.add(topic, 0, i, null, bytes(String(i)))
    await producer.close()
    let expected = 0
    let batches = 0
    const reader = broker.readPartitions({
      partitions: [{ topic, partition: 0, from: 'earliest' }],
      until: 'stable',
      onBatch(cursor) {
        batches++
        let inBatch = 0
        while (cursor.next()) {
          inBatch++
          const value = Number(
            cursor.buffer.toString('latin1', cursor.valueStart, cursor.valueStart + cursor.valueLength),
          )
          if (value !== expected || cursor.offset !== expected)
            throw new Error(`${value} at ${cursor.offset} instead of ${expected}`)
          expected++
        }
        if (inBatch > cursor.recordCount || cursor.nextOffset !== expected)
          throw new Error('wrong batch totals')
      },
    })
    await reader.done
    expect(reader.position({ topic, partition: 0 })).toBe(count)
    await reader.close()
    expect(expected).toBe(count)
    expect(batches).toBeLessThan(count / 50)
  })

  test('reading begins at a given offset, inside a batch too, or at the end', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker)
    const producer = broker.producer()
    for (let i = 0; i < 10; i++) producer.add(topic, 0, 1, null, bytes(String(i)))
    await producer.close()
    expect(values(await readAll(broker, topic, { from: 7 }))).toEqual(['7', '8', '9'])
    expect(await readAll(broker, topic, { from: 'latest' })).toEqual([])
    const admin = broker.admin()
    expect(await admin.offsets(partitionsOf(topic), 'latest')).toEqual(new Map([[`${topic}:0`, 10]]))
  })
}
