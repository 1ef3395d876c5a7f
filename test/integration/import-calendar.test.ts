import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import { systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { replayPrefix } from '../../jobs/args.ts'
import { followTables } from '../../jobs/followed-tables.ts'
import { runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { eventsKnownAt } from '#core/forecasting'
import { topicSpec } from '#schemas'

failOnLeaks()

const REPLAY = uniqueName('calendar').replaceAll('_', '-')
const PREFIX = replayPrefix(REPLAY)
const env = stackEnv()
const folder = mkdtempSync(join(tmpdir(), 'calendar-'))
const day = (ahead: number): string =>
  new Date(systemClock.nowMs() + ahead * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')

const calendar = (...lines: string[]): string =>
  ['BEGIN:VCALENDAR', 'VERSION:2.0', ...lines, 'END:VCALENDAR', ''].join('\r\n')
const vevent = (...lines: string[]): string[] => ['BEGIN:VEVENT', ...lines, 'END:VEVENT']
const rule = (...more: string[]): string[] => [
  'BEGIN:VEVENT',
  'UID:weekly',
  'DTSTAMP:20260101T000000Z',
  `DTSTART:${day(2)}T180000Z`,
  `DTEND:${day(2)}T200000Z`,
  'RRULE:FREQ=DAILY;COUNT=3',
  'SUMMARY:A match',
  ...more,
  'END:VEVENT',
]

async function importIt(text: string, ...args: string[]) {
  const file = join(folder, 'matches.ics')
  writeFileSync(file, text)
  return importFrom(file, ...args)
}

async function importFrom(from: string, ...args: string[]) {
  const result = await runCli(
    ['import-calendar', from, '--kind', 'match', '--replay-id', REPLAY, '--json', ...args],
    env,
  )
  return { ...result, counts: JSON.parse(result.stdout || '{}') as Record<string, unknown> }
}

afterAll(async () => {
  rmSync(folder, { recursive: true })
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'calendar' })
  const admin = broker.admin()
  await admin.deleteTopics((await admin.listTopics()).filter((name) => name.startsWith(PREFIX)))
  await admin.close()
  await broker.close()
})

test('a calendar imported again changes nothing; exceptions withdraw, revisions replace; forecasters follow', {
  timeout: 240_000,
}, async () => {
  const first = await importIt(calendar(...rule()))
  expect(first).toMatchObject({ code: 0, stderr: '' })
  expect(first.counts).toMatchObject({ written: 3, unchanged: 0, withdrawn: 0, bad: [] })

  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'calendar' })
  const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const admin = broker.admin()
  await admin.ensureTopics([topicSpec('models', { prefix: PREFIX })])
  await admin.close()
  const tables = followTables(broker, codec, PREFIX, (error) => console.error(error))
  const known = () => eventsKnownAt(tables.events(), systemClock.nowMs())
  await tables.ready()
  expect(known().map((e) => e.kind)).toEqual(['match', 'match', 'match'])

  expect((await importIt(calendar(...rule()))).counts).toMatchObject({ written: 0, unchanged: 3 })

  const excepted = await importIt(calendar(...rule(`EXDATE:${day(3)}T180000Z`)))
  expect(excepted.counts).toMatchObject({ written: 0, unchanged: 2, withdrawn: 1 })
  await until(() => known().length === 2, { what: 'the withdrawal' })

  const revised = await importIt(
    calendar(...rule('SEQUENCE:4', 'LOCATION:x').with(6, 'SUMMARY:Another match')),
  )
  expect(revised.counts).toMatchObject({ written: 3, withdrawn: 0 })
  await until(() => known().length === 3 && known().every((e) => e.summary === 'Another match'), {
    what: 'the revision',
  })
  expect((await importIt(calendar(...rule()))).counts).toMatchObject({ written: 0, stale: 3 })

  await tables.stop()
  await broker.close()
})

test('a calendar of a URL is read; what cannot be is said with its line, and what is gone is cancelled when it is complete', {
  timeout: 240_000,
}, async () => {
  let text = calendar(
    ...vevent('UID:one', `DTSTART:${day(5)}T000000Z`),
    ...vevent('UID:two', `DTSTART:${day(6)}T000000Z`),
    ...vevent('UID:bad', 'DTSTART:soon'),
  )
  const server = createServer((_, response) => response.end(text)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/works.ics`
  const first = await importFrom(url)
  expect(first.code).toBe(1)
  expect(first.stderr).toMatch(/^line 11, UID bad: /m)
  expect(first.counts).toMatchObject({ written: 2 })
  text = calendar(...vevent('UID:one', `DTSTART:${day(5)}T000000Z`))
  expect((await importFrom(url)).counts).toMatchObject({ unchanged: 1, withdrawn: 0 })
  expect((await importFrom(url, '--complete')).counts).toMatchObject({ unchanged: 1, withdrawn: 1 })
  server.close()
  const gone = await importFrom(url)
  expect(gone).toMatchObject({ code: 2 })
  expect(gone.stderr).toMatch(/CONFIG_INVALID/)
})
