import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Ack, RecordByName, RecordName } from '#schemas'
import type { Sink } from '#core/warehouse'
import { type CliResult, runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { replayScope } from '../support/replay-scope.ts'
import { routeDecision } from '../support/route-decision.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Named as a run of `up` that begins in some years: `latest` means this one, whatever else is in this Kafka. */
const REPLAY = `cli-${(Date.now() + 5e11).toString(36)}`
const ROUTES = 'decisions.traffic.routes'
const RECORDS: readonly (readonly [topic: string, record: RecordName])[] = [
  [ROUTES, 'RouteDecision'],
  ['acks.decisions', 'Ack'],
  ['forecasts.traffic', 'Forecast'],
  ['telemetry.flows', 'Flow'],
  ['dlq.telemetry.flows', 'DeadLetter'],
]

const env = stackEnv()
const scope = replayScope(REPLAY, RECORDS)
const { prefix, broker } = scope
const decision = routeDecision(
  { 'eu-west': 0.75, 'eu-north': 0.25 },
  {
    replayId: REPLAY,
    reason: { risk: 0.4, drivers: ['rises'], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 0.5 },
    inputs: [{ topic: 'risks.traffic', partition: 0, offset: 7 }],
  },
)
let sink: Sink

const cli = (...args: string[]): Promise<CliResult> => runCli([...args, '--replay-id', 'latest'], env)
const lastJson = (text: string): unknown => JSON.parse(text.trim().split('\n').at(-1) ?? '')

beforeAll(async () => {
  sink = await scope.startSink()
  await scope.write(ROUTES, 'RouteDecision', [[decision.entity, decision as RecordByName['RouteDecision']]])
})

async function acksOf(follower: string): Promise<Ack[]> {
  const acks = await scope.read('acks.decisions', 'Ack')
  return acks.filter((ack) => ack.follower === follower)
}

test('follow --table puts what stands into force and acknowledges it', async () => {
  const { code, stdout, stderr } = await cli('follow', '--table', '--id', 'table', '--for', '3s')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('paris>web  eu-west/p1 75.0 %, eu-north/p2 25.0 %  0 shards')
  expect(await acksOf('table')).toMatchObject([
    { decision_id: decision.decision_id, epoch: decision.epoch, state: 'applied', observed: { paths: '2' } },
  ])
})

test('follow --print prints and acknowledges nothing', async () => {
  const { code, stdout } = await cli('follow', '--print', '--id', 'printer', '--for', '3s', '--json')
  expect(code).toBe(0)
  expect(lastJson(stdout)).toMatchObject({
    entity: 'paris>web',
    decision: { decision_id: decision.decision_id },
  })
  expect(await acksOf('printer')).toEqual([])
})

test('the kafkajs example of the README applies and acknowledges', async () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const [, example = ''] = /^```js\n([\s\S]*?)^```$/m.exec(readme) ?? []
  expect(example).toContain('consumer.run')
  const folder = join(ROOT, '.forestall')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${uniqueName('readme')}.mjs`)
  writeFileSync(file, example)
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, ...env, REPLAY_ID: REPLAY, FOLLOWER: 'readme' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(async () => {
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
    rmSync(file)
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  const acks = await until(async () => (await acksOf('readme')).length > 0 && acksOf('readme'), {
    what: 'an ack',
  })
  expect(acks).toMatchObject([
    {
      decision_id: decision.decision_id,
      state: 'applied',
      decision_topic: prefix + ROUTES,
      observed: { paths: '2' },
    },
  ])
  expect(stdout).toBe('paris>web eu-west 0.75 eu-north 0.25\n')
})

test('explain tells cause, forecast and followers, by id and by entity', async () => {
  const issuedAtMs = decision.issued_at_ms - 1000
  await scope.write('forecasts.traffic', 'Forecast', [
    [
      'paris>web',
      {
        scope: 'default',
        entity: 'paris>web',
        metric: 'bytes_per_second',
        issued_at_ms: issuedAtMs,
        target_ms: issuedAtMs + 60_000,
        horizon_ms: 60_000,
        q025: 1,
        q10: 2,
        q50: 3,
        q90: 4,
        q975: 5,
        q99: 6,
        model: 'naive',
        model_version: 'm1',
        seasonal_naive: null,
        scale: null,
      },
    ],
  ])
  await sink.drained()
  const byId = await cli('explain', decision.decision_id, '--json')
  expect(byId).toMatchObject({ code: 0, stderr: '' })
  expect(lastJson(byId.stdout)).toMatchObject({
    decision_id: decision.decision_id,
    issued_at: new Date(decision.issued_at_ms).toISOString(),
    expires_at: new Date(decision.issued_at_ms + 600_000).toISOString(),
    saving: 1.5,
    inputs: [{ topic: 'risks.traffic', partition: 0, offset: 7 }],
    body: { stream: 'paris>web' },
    forecasts: [{ q50: 3, target_ms: issuedAtMs + 60_000, model: 'naive' }],
    followers: [
      { follower: 'readme', state: 'applied' },
      { follower: 'table', state: 'applied' },
    ],
  })
  const byEntity = await cli('explain', 'paris>web')
  expect(byEntity.stdout).toContain(`Decision ${decision.decision_id} about paris>web`)
  expect(byEntity.stdout).toContain('because rises')
  const unknown = await cli('explain', 'nope')
  expect(unknown).toMatchObject({ code: 1, stdout: '' })
  expect(unknown.stderr).toMatch(/^NOT_FOUND: ClickHouse has no decision "nope"/)
})

test('dead letters are listed, sent again once, and not a second time', async () => {
  const [at, key] = [Date.now(), Buffer.from('k')]
  await scope.write('dlq.telemetry.flows', 'DeadLetter', [
    [
      '0:5',
      {
        topic: 'telemetry.flows',
        partition: 0,
        offset: 5,
        timestamp_ms: at,
        key,
        value: Buffer.from([0xff, 0x00]),
        reason_code: 'RECORD_UNDECODABLE',
        reason: 'no magic byte',
        topology: 'traffic.features',
        at_ms: at,
      },
    ],
  ])
  await sink.drained()
  const list = await cli('dlq', 'list', '--json')
  expect(lastJson(list.stdout)).toMatchObject({
    counts: [{ topic: 'telemetry.flows', reason_code: 'RECORD_UNDECODABLE', letters: 1 }],
    letters: [{ offset: 5, at_ms: at, value_bytes: 2, reason: 'no magic byte' }],
  })
  const replay = async (...more: string[]) =>
    lastJson((await cli('dlq', 'replay', '--topic', 'telemetry.flows', '--json', ...more)).stdout)
  const end = async () => {
    const admin = broker.admin()
    const topic = `${prefix}telemetry.flows`
    const offsets = await admin.offsets([{ topic, partition: 0 }], 'stable')
    await admin.close()
    return offsets.get(`${topic}:0`) ?? 0
  }
  expect(await replay()).toMatchObject({ letters: 1, replayed: 1 })
  expect(await end()).toBe(0)
  expect(await replay('--yes')).toMatchObject({ letters: 1, replayed: 1, skipped: {} })
  const after = await end()
  expect(after).toBeGreaterThan(0)
  expect(await replay('--yes')).toMatchObject({ replayed: 0, skipped: { 'replayed before': 1 } })
  expect(await end()).toBe(after)
})

test('the doctor reaches all three parts', async () => {
  const { code, stdout } = await runCli(['doctor', '--json'], env)
  expect(code).toBe(0)
  const { checks } = lastJson(stdout) as { checks: { name: string; ok: boolean; detail: string }[] }
  for (const variable of ['KAFKA_BROKERS', 'CLICKHOUSE_URL', 'SCHEMA_REGISTRY_URL']) {
    expect(checks.find((c) => c.name.includes(variable))).toMatchObject({ ok: true })
  }
})
