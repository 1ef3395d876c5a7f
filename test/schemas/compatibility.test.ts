import { readdirSync, readFileSync } from 'node:fs'
import avro from 'avsc'
import { describe, expect, it } from 'vitest'
import { AVRO, type RecordName } from '../../schemas/index.ts'

const baselineDir = new URL('../golden/schemas/', import.meta.url)
const baselines = readdirSync(baselineDir).filter((f) => f.endsWith('.avsc'))
const type = (text: string): avro.Type => avro.Type.forSchema(JSON.parse(text) as avro.Schema)
const baseline = (name: string): string => readFileSync(new URL(`${name}.avsc`, baselineDir), 'utf8')

/** BACKWARD: readers with today's schema read what was written with the baseline. */
const canRead = (today: string, written: string): void => {
  type(today).createResolver(type(written))
}

describe('BACKWARD compatibility with test/golden/schemas', () => {
  it('has a baseline for every record', () => {
    expect(baselines).toEqual(Object.keys(AVRO).map((name) => `${name}.avsc`))
  })

  it.each(Object.keys(AVRO) as RecordName[])('reads old records as %s', (name) => {
    expect(() => canRead(AVRO[name], baseline(name))).not.toThrow()
  })

  it('would notice a field without default and a changed type', () => {
    const flow = JSON.parse(AVRO.Flow) as { fields: { name: string; type: unknown; default?: unknown }[] }
    const added = { ...flow, fields: [...flow.fields, { name: 'tenant', type: 'string' }] }
    expect(() => canRead(JSON.stringify(added), baseline('Flow'))).toThrow('no matching field')
    const changed = {
      ...flow,
      fields: flow.fields.map((f) => (f.name === 'bytes' ? { ...f, type: 'string' } : f)),
    }
    expect(() => canRead(JSON.stringify(changed), baseline('Flow'))).toThrow('cannot read')
  })

  it('reads a record of a baseline with fewer fields through the defaults', () => {
    const flow = JSON.parse(AVRO.Flow) as { fields: { name: string }[] }
    const old = avro.Type.forSchema({
      ...flow,
      fields: flow.fields.slice(0, 5),
    } as unknown as avro.Schema)
    const today = type(AVRO.Flow)
    const buffer = old.toBuffer({ event_time_ms: 1, origin: 'o', stream: 's', bytes: 2, packets: 3 })
    expect(today.fromBuffer(buffer, today.createResolver(old))).toMatchObject({
      stream: 's',
      protocol: 0,
      sampling_rate: 1,
      src_addr: '',
    })
  })
})
