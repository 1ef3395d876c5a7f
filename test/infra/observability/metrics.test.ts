import { expect, test } from 'vitest'
import { createHistogram, type Sample, startMetricsServer } from '#infra/observability'

const sample = (over: Partial<Sample>): Sample => ({
  name: 'forestall_things_total',
  help: 'Things that moved.',
  kind: 'counter',
  labels: {},
  value: 1,
  ...over,
})

const open = (collect: () => readonly Sample[], errors: Error[] = []) =>
  startMetricsServer({ port: 0, collect, onError: (error) => void errors.push(error) })

test('what is collected is there at each scrape, in the Prometheus format, beside the figures of the process', async () => {
  let moved = 3
  const server = await open(() => [
    sample({ labels: { topic: 'a.b' }, value: moved }),
    sample({ labels: { topic: 'say "hi"\n' }, value: 7 }),
    sample({ name: 'forestall_bytes', kind: 'gauge', help: 'Bytes held.', value: 12.5 }),
    sample({ name: 'forestall_unknown', kind: 'gauge', value: Number.NaN }),
  ])
  try {
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
    const answer = await fetch(server.url)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const text = await answer.text()
    expect(text).toContain(
      '# HELP forestall_things_total Things that moved.\n# TYPE forestall_things_total counter\n',
    )
    expect(text).toContain('forestall_things_total{topic="a.b"} 3\n')
    expect(text).toContain(String.raw`forestall_things_total{topic="say \"hi\"\n"} 7`)
    expect(text).toContain('# TYPE forestall_bytes gauge\nforestall_bytes 12.5\n')
    expect(text).not.toMatch(/^forestall_unknown \S/m)
    expect(text).toMatch(/^process_resident_memory_bytes \d+/m)
    moved = 5
    expect(await (await fetch(server.url)).text()).toContain('forestall_things_total{topic="a.b"} 5\n')
  } finally {
    await server.stop()
    await server.stop()
  }
})

test('a histogram counts what is at or below each bound', async () => {
  const latency = createHistogram([0.1, 1])
  for (const seconds of [0.1, 0.05, 0.5, 30]) latency.observe(seconds)
  const histogram = latency.read()
  const server = await open(() => [
    sample({ name: 'forestall_wait_seconds', kind: 'histogram', labels: { of: 'a"b' }, value: 4, histogram }),
  ])
  try {
    const text = await (await fetch(server.url)).text()
    const label = String.raw`of="a\"b"`
    expect(text).toContain(
      [
        '# HELP forestall_wait_seconds Things that moved.',
        '# TYPE forestall_wait_seconds histogram',
        `forestall_wait_seconds_bucket{${label},le="0.1"} 2`,
        `forestall_wait_seconds_bucket{${label},le="1"} 3`,
        `forestall_wait_seconds_bucket{${label},le="+Inf"} 4`,
        `forestall_wait_seconds_sum{${label}} 30.65`,
        `forestall_wait_seconds_count{${label}} 4`,
      ].join('\n'),
    )
  } finally {
    await server.stop()
  }
})

test('a scrape that fails is answered, told, and followed by the next; nothing else is served', async () => {
  const errors: Error[] = []
  let fails = true
  const server = await open(() => {
    if (fails) throw new Error('broker away')
    return [sample({})]
  }, errors)
  try {
    const failed = await fetch(server.url)
    expect(failed.status).toBe(500)
    expect(await failed.text()).not.toContain('broker away')
    expect(errors.map(({ message }) => message)).toEqual(['broker away'])
    fails = false
    expect((await fetch(server.url)).status).toBe(200)
    expect((await fetch(new URL('/', server.url))).status).toBe(404)
    expect((await fetch(server.url, { method: 'POST' })).status).toBe(404)
  } finally {
    await server.stop()
  }
})
