import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type PeerBuild, startPeer } from '../../test/bench/peers/kafka-streams/peer.ts'
import { inputOf, outputOf } from './differential-ours.ts'
import { LANE } from './recovery-input.ts'

/** A process that is killed and started again. */
export interface Life {
  readonly pid: number
  readonly spawnedAtMs: number
  /** When it began to read: its changelogs or the input. Rejects if it ends before. */
  readonly readingAtMs: Promise<number>
  /** SIGKILL; what it kept on disk is gone, as on a new machine. */
  kill9(): Promise<void>
}

/** One of the two systems. */
export interface Side {
  readonly name: 'ours' | 'peer'
  /** Its consumer group. */
  group(prefix: string): string
  /** Its output topic. */
  output(prefix: string): string
  start(prefix: string): Life
}

/** A tick of the kernel's account of CPU time, s (USER_HZ). */
const TICK_S = 0.01

/** CPU time of a process and its threads so far, s; null where there is no /proc. */
export function cpuSecondsOf(pid: number): number | null {
  try {
    // The fields after the name in brackets: 14 and 15 of proc(5) are user and system time.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * TICK_S
  } catch {
    return null
  }
}

/** Where the peer writes, as named without the prefix. */
export const PEER_OUTPUT = `peer.${LANE.name}`

const WORKER = fileURLToPath(new URL('recovery-worker.ts', import.meta.url))

/** Our worker in a process of its own. */
export const ourSide = (bootstrapBrokers: string): Side => ({
  name: 'ours',
  group: (prefix) => `${prefix}lanes`,
  output: (prefix) => `${prefix}${outputOf(LANE)}`,
  start(prefix) {
    const spawnedAtMs = Date.now()
    const child = spawn(process.execPath, [WORKER, bootstrapBrokers, prefix], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const killWithUs = (): void => void child.kill('SIGKILL')
    process.once('exit', killWithUs)
    const exited = once(child, 'exit').finally(() => process.off('exit', killWithUs))
    const reading = Promise.withResolvers<number>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { event, atMs } = JSON.parse(line) as { event: string; atMs: number }
      if (event === 'reading') reading.resolve(atMs)
    })
    void exited.then(() => reading.reject(new Error('our worker has ended')))
    reading.promise.catch(() => undefined)
    return {
      pid: child.pid ?? 0,
      spawnedAtMs,
      readingAtMs: reading.promise,
      async kill9() {
        child.kill('SIGKILL')
        await exited
      },
    }
  },
})

/** Kafka Streams; the schema id of its output is that of our codec. */
export const peerSide = (
  build: PeerBuild,
  bootstrapBrokers: string,
  outputSchemaId: number,
  store: 'rocksdb' | 'memory',
): Side => ({
  name: 'peer',
  group: (prefix) => `${prefix}streams`,
  output: (prefix) => `${prefix}${PEER_OUTPUT}`,
  start(prefix) {
    const stateDir = mkdtempSync(join(tmpdir(), 'recovery-'))
    const peer = startPeer(build, {
      bootstrapBrokers,
      applicationId: `${prefix}streams`,
      instanceId: 'peer',
      threads: 2,
      store,
      commitMs: 100,
      stateDir,
      lanes: [
        { ...LANE, input: `${prefix}${inputOf(LANE)}`, output: `${prefix}${PEER_OUTPUT}`, outputSchemaId },
      ],
    })
    const reading = peer.event((e) => e.event === 'restore-start' || e.event === 'first-record')
    reading.catch(() => undefined)
    return {
      pid: peer.pid,
      spawnedAtMs: peer.spawnedAtMs,
      readingAtMs: reading.then((e) => e.atMs),
      async kill9() {
        await peer.kill9()
        rmSync(stateDir, { recursive: true, force: true })
      },
    }
  },
})
