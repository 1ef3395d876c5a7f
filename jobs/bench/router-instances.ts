import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ClickHouseProcess, startClickHouse } from '#infra/clickhouse'

/** An embedded ClickHouse behind a relay that can hold its answers back. */
export interface SlowableInstance {
  readonly name: string
  /** Address of the relay. */
  readonly url: string
  /** Every answer comes this much later, ms. */
  setDelay(ms: number): void
}

/** Instances of one run. */
export interface BenchInstances {
  readonly list: readonly SlowableInstance[]
  readonly table: string
  stop(): Promise<void>
}

const TABLE = 'events'
const KEYS = 1000
const ROWS_PER_KEY = 50

/** Starts instances that all hold the same table. */
export async function startBenchInstances(count: number): Promise<BenchInstances> {
  const folder = mkdtempSync(join(tmpdir(), 'router-bench-'))
  const processes: ClickHouseProcess[] = []
  const relays: { relay: SlowableInstance; close: () => void }[] = []
  const stop = async (): Promise<void> => {
    for (const { close } of relays) close()
    await Promise.all(processes.map((p) => p.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    for (let i = 0; i < count; i++) {
      const options = { dataDir: join(folder, `i${i}`), logFile: join(folder, `i${i}.log`) }
      const started = await startClickHouse(options)
      processes.push(started)
      await fill(started.url)
      relays.push(await startRelay(`i${i}`, Number(new URL(started.url).port)))
    }
    return { list: relays.map(({ relay }) => relay), table: TABLE, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function fill(url: string): Promise<void> {
  const statements = [
    `CREATE TABLE ${TABLE} (k String, v UInt64) ENGINE = MergeTree ORDER BY k`,
    `INSERT INTO ${TABLE} SELECT concat('k', toString(number % ${KEYS})), number FROM numbers(${KEYS * ROWS_PER_KEY})`,
  ]
  for (const body of statements) {
    const answer = await fetch(url, { method: 'POST', body })
    if (!answer.ok) throw new Error(await answer.text())
  }
}

/** A TCP relay that hands answers on after a delay, in order. */
async function startRelay(
  name: string,
  port: number,
): Promise<{ relay: SlowableInstance; close: () => void }> {
  let delayMs = 0
  const sockets = new Set<Socket>()
  const server: Server = createServer((client) => {
    const instance = connect({ port, host: '127.0.0.1' })
    for (const socket of [client, instance]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
    }
    client.pipe(instance)
    client.on('close', () => instance.destroy())
    instance.on('data', (bytes) => {
      if (delayMs > 0) setTimeout(() => client.write(bytes), delayMs)
      else if (!client.write(bytes)) {
        instance.pause()
        client.once('drain', () => instance.resume())
      }
    })
    instance.on('end', () => setTimeout(() => client.end(), delayMs))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    relay: {
      name,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      setDelay(ms) {
        delayMs = ms
      },
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
