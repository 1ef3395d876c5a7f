import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, homedir, totalmem } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify, stripVTControlCharacters } from 'node:util'
import { ForestallError } from '#core/ports'
import { findHaproxy } from '#infra/haproxy'
import { externalParts, type ExternalParts, findProgram, freePort } from '#infra/local'
import type { CommonArgs } from './args.ts'
import { findConnections, openBroker, openWarehouse } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'

/** `forestall doctor`. */
export interface DoctorArgs extends CommonArgs {
  readonly dataDir: string
}

/** One thing that Forestall needs, or can use. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  /** False: something works without it, or less well. */
  readonly required: boolean
  /** What was found. */
  readonly detail: string
  /** What to do; '' if nothing. */
  readonly cure: string
}

/** What a check found; a thrown error means that it is not there. */
interface Finding {
  readonly ok: boolean
  readonly detail: string
  readonly cure?: string
}

const run = promisify(execFile)
const GIB = 2 ** 30
const PROGRAM_TIMEOUT_MS = 20_000
/** How long a part may take to answer. */
const REACH_MS = 3000
const CURES = {
  kafka: 'Check KAFKA_BROKERS, KAFKA_TLS and KAFKA_SASL_*, and that this machine reaches the brokers.',
  clickhouse: 'Check CLICKHOUSE_URL, CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.',
  registry: 'Check SCHEMA_REGISTRY_URL, SCHEMA_REGISTRY_USER and SCHEMA_REGISTRY_PASSWORD.',
} as const
const NODE_MAJOR = 24
const JAVA_MAJOR = 17

/** Why something failed; `fetch` says it only in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

async function check(
  name: string,
  required: boolean,
  find: () => Promise<Finding> | Finding,
  cureIfThrown = '',
): Promise<Check> {
  try {
    const { ok, detail, cure = '' } = await find()
    return { name, ok, required, detail, cure: ok ? '' : cure }
  } catch (error) {
    const cure = cureIfThrown === '' && error instanceof ForestallError ? error.cure : cureIfThrown
    return { name, ok: false, required, detail: reasonOf(error), cure }
  }
}

function node(): Finding {
  const ok = Number(process.versions.node.split('.')[0]) >= NODE_MAJOR
  const cure = `Start it through npm (it brings Node ${NODE_MAJOR}), or install Node ${NODE_MAJOR}.`
  return { ok, detail: `${process.version} on ${process.platform}-${process.arch}`, cure }
}

/** First line that a program prints about its version; Java prints it on standard error. */
async function versionLine(program: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(program, args, { timeout: PROGRAM_TIMEOUT_MS })
  const lines = stripVTControlCharacters(`${stdout}\n${stderr}`)
    .split('\n')
    .map((line) => line.trim())
  return lines.find((line) => /\d+\.\d+|version/.test(line)) ?? lines.find(Boolean) ?? ''
}

async function java(): Promise<Finding> {
  const path = findProgram('java')
  const line = await versionLine(path, ['-version'])
  const major = Number(/"(?:1\.)?(\d+)/.exec(line)?.[1] ?? 0)
  const cure = `Install Java ${JAVA_MAJOR} or later, or set JAVA_HOME to one.`
  return { ok: major >= JAVA_MAJOR, detail: `${line} (${path})`, cure }
}

async function maven(): Promise<Finding> {
  const path = findProgram('mvn')
  return { ok: true, detail: `${await versionLine(path, ['-B', '-version'])} (${path})` }
}

/** Maven is called once per data folder, to fetch Kafka. */
function isKafkaFetched(dataDir: string): boolean {
  const folder = join(dataDir, 'parts')
  return existsSync(folder) && readdirSync(folder).some((name) => /^kafka-[\d.]+$/.test(name))
}

async function ports(): Promise<Finding> {
  const found: number[] = []
  while (found.length < 5) found.push(await freePort(found))
  return { ok: true, detail: `${found.length} free on 127.0.0.1, for example ${found[0]}` }
}

async function disk(dataDir: string): Promise<Finding> {
  // It may not exist yet, and looking makes nothing.
  let folder = dataDir
  while (!existsSync(folder)) folder = dirname(folder)
  const { bavail, bsize } = await statfs(folder)
  const free = (bavail * bsize) / GIB
  const cure = 'Free at least 2 GiB, or choose another folder with --data-dir.'
  return { ok: free >= 2, detail: `${free.toFixed(1)} GiB free in ${dataDir}`, cure }
}

function memory(): Finding {
  const total = totalmem() / GIB
  const free = process.availableMemory() / GIB
  const cure =
    'The embedded stack needs about 2 GiB: close something, or bring your own Kafka and ClickHouse.'
  return {
    ok: free >= 1.5,
    detail: `${free.toFixed(1)} of ${total.toFixed(1)} GiB available, ${availableParallelism()} cores`,
    cure,
  }
}

async function embeddedClickHouse(): Promise<Finding> {
  createRequire(import.meta.url).resolve('chdb')
  const folder = new URL('../node_modules/@chdb/', import.meta.url)
  const libraries = existsSync(folder) ? readdirSync(folder) : []
  const cure = 'Run `npm ci` on Linux (glibc) or macOS, or set CLICKHOUSE_URL.'
  return { ok: libraries.length > 0, detail: libraries.join(', ') || 'no library for this platform', cure }
}

async function haproxy(): Promise<Finding> {
  const path = findHaproxy()
  return { ok: true, detail: `${await versionLine(path, ['-v'])} (${path})` }
}

function chromium(): Finding {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name))).find(existsSync)
  const cached = join(homedir(), '.cache', 'ms-playwright')
  const path = found ?? (existsSync(cached) ? cached : undefined)
  const cure = 'Only the tests of the dashboard need it (Debian: apt-get install chromium).'
  return { ok: path !== undefined, detail: path ?? 'not found', cure }
}

/** The parts that the environment names: whether they answer, with these credentials. */
function externals(dataDir: string, parts: ExternalParts): Promise<Check>[] {
  const found = findConnections(dataDir)
  const checks: Promise<Check>[] = []
  if (parts.kafka !== undefined) {
    checks.push(check('Kafka (KAFKA_BROKERS)', true, () => kafka(found, parts), CURES.kafka))
  }
  if (parts.clickhouse !== undefined) {
    checks.push(check('ClickHouse (CLICKHOUSE_URL)', true, () => clickhouse(found), CURES.clickhouse))
  }
  if (parts.registry !== undefined) {
    const { url } = parts.registry
    checks.push(
      check('Schema registry (SCHEMA_REGISTRY_URL)', true, () => registry(parts, url), CURES.registry),
    )
  }
  return checks
}

async function kafka(found: ReturnType<typeof findConnections>, parts: ExternalParts): Promise<Finding> {
  const broker = await openBroker(found, 'forestall-doctor', REACH_MS)
  const where = parts.kafka?.bootstrapBrokers.join(',') ?? ''
  try {
    const topics = await broker.admin().listTopics()
    return { ok: true, detail: `${where} answers, ${topics.length} topics` }
  } finally {
    await broker.close()
  }
}

async function clickhouse(found: ReturnType<typeof findConnections>): Promise<Finding> {
  const { url } = await found.clickhouse()
  // Its own database may not exist yet.
  const warehouse = await openWarehouse({
    ...found,
    clickhouse: async () => ({ ...(await found.clickhouse()), database: 'system' }),
  })
  try {
    const [row] = await warehouse.query<{ version: string }>('SELECT version() AS version')
    return { ok: true, detail: `${row?.version ?? '?'} at ${url}` }
  } finally {
    await warehouse.close()
  }
}

async function registry(parts: ExternalParts, url: string): Promise<Finding> {
  const { user, password } = parts.registry ?? {}
  const token = Buffer.from(`${user ?? ''}:${password ?? ''}`).toString('base64')
  const answer = await fetch(`${url}/subjects`, {
    headers: user === undefined ? {} : { authorization: `Basic ${token}` },
    signal: AbortSignal.timeout(REACH_MS),
  })
  const subjects: unknown = answer.ok ? await answer.json() : null
  const ok = Array.isArray(subjects)
  const detail = ok ? `${url} answers, ${subjects.length} subjects` : `${url} answers status ${answer.status}`
  return { ok, detail, cure: CURES.registry }
}

/** Looks at everything. A part that the environment names makes what embeds it unnecessary. */
export async function diagnose(dataDir: string): Promise<Check[]> {
  const parts = externalParts(process.env)
  const embedsKafka = parts.kafka === undefined
  return Promise.all([
    check('Node.js', true, node),
    check('Java', embedsKafka, java),
    check('Maven', embedsKafka && !isKafkaFetched(dataDir), maven),
    check('Embedded ClickHouse', parts.clickhouse === undefined, embeddedClickHouse),
    check('Ports', true, ports),
    check('Disk', true, () => disk(dataDir)),
    check('Memory', false, memory),
    check('HAProxy', false, haproxy),
    check('Chromium', false, chromium),
    ...externals(dataDir, parts),
  ])
}

function line({ name, ok, required, detail, cure }: Check): string {
  const mark = ok ? 'ok      ' : required ? 'MISSING ' : 'optional'
  return `${mark}  ${name.padEnd(22)}  ${detail}${cure === '' ? '' : `\n${' '.repeat(34)}cure: ${cure}`}`
}

/** `forestall doctor`: 0 if everything required is there. */
export async function runDoctor(args: DoctorArgs): Promise<ExitCode> {
  const checks = await diagnose(args.dataDir)
  process.stdout.write(args.json ? `${JSON.stringify({ checks })}\n` : `${checks.map(line).join('\n')}\n`)
  return checks.every((c) => c.ok || !c.required) ? 0 : 1
}
