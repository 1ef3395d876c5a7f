/**
 * The child process that hosts the embedded ClickHouse: chdb behind ClickHouse's HTTP protocol, on the
 * loopback interface. `host.ts --data-dir <folder> [--port <port>]`; tells its parent `{url}` over IPC,
 * stops on SIGTERM and SIGINT (inserts under way are finished), and when its parent is gone.
 */
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { openEngine } from './engine.ts'
import { createHandler } from './handler.ts'
import { openSpool } from './spool.ts'

/** libuv threads left for files and compression: a statement holds one thread for as long as it runs. */
const THREADS_FOR_FILES = 6
const PARENT_CHECK_MS = 1000
/** How long a stop waits for the requests under way. */
const STOP_MS = 30_000

const { values } = parseArgs({
  options: { 'data-dir': { type: 'string' }, port: { type: 'string', default: '0' } },
})
if (values['data-dir'] === undefined) throw new Error('--data-dir is missing')
const dataDir = resolve(values['data-dir'])
const log = (event: string, fields: Record<string, unknown> = {}) =>
  console.log(JSON.stringify({ time: new Date().toISOString(), event, ...fields }))

mkdirSync(dataDir, { recursive: true })
const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4)
const places = Math.max(2, threads - THREADS_FOR_FILES)
const insertPlaces = Math.max(1, Math.floor(places * 0.4))
const memory = Math.max(512 << 20, Math.floor(totalmem() / 4))
const engine = openEngine({
  dataDir: join(dataDir, 'engine'),
  insertPlaces,
  generalPlaces: places - insertPlaces,
  queue: 256,
  queueWaitMs: 60_000,
  defaults: {
    insert: new Map([
      ['max_execution_time', '300'],
      ['max_memory_usage', String(memory)],
    ]),
    general: new Map([
      ['max_execution_time', '60'],
      ['max_memory_usage', String(memory)],
      ['max_result_bytes', String(4 * 2 ** 30)],
      // Half of the cores: a scan must leave room for inserts.
      ['max_threads', String(Math.max(1, Math.floor(availableParallelism() / 2)))],
    ]),
  },
})
const spool = openSpool(join(dataDir, 'spool'), 2 ** 30, 4 * 2 ** 30)

let stopping: Promise<void> | undefined
const handle = createHandler({ engine, spool, stopping: () => stopping !== undefined })
const server = createServer({ maxHeaderSize: 1 << 20, keepAliveTimeout: 10_000 }, (request, response) => {
  void handle(request, response)
})
server.maxConnections = 512
server.listen(Number(values.port), '127.0.0.1', () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  log('ready', { url, version: engine.version, insertPlaces, generalPlaces: places - insertPlaces })
  process.send?.({ url })
})
server.on('error', (error) => {
  log('listen_failed', { message: error.message })
  process.exit(1)
})

async function stop(): Promise<void> {
  const closed = new Promise<void>((done) => server.close(() => done()))
  server.closeIdleConnections()
  const patience = setTimeout(() => server.closeAllConnections(), STOP_MS)
  // Kills what only reads, waits for what writes; the answers to both still go out.
  await engine.close()
  await closed
  clearTimeout(patience)
}

function stopOnce(reason: string): void {
  if (stopping !== undefined) return
  log('stopping', { reason })
  stopping = stop()
  void stopping
    .catch((error: unknown) => log('stop_failed', { message: String(error) }))
    .finally(() => {
      log('stopped')
      process.exit(0)
    })
}

process.on('SIGTERM', () => stopOnce('SIGTERM'))
process.on('SIGINT', () => stopOnce('SIGINT'))
process.on('disconnect', () => stopOnce('the parent is gone'))
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) stopOnce('the parent is gone')
}, PARENT_CHECK_MS).unref()
