import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, ForestallError, type InsertSink, type ReplicaStore, type WriteLog } from '#core/ports'
import type { AppliedView } from './applied-view.ts'
import type { AppliedReader } from './applier.ts'
import {
  blockForAll,
  createBlockCutter,
  insertId,
  insertOf,
  loggedToken,
  type LogLayout,
  type PlacedBlock,
} from './blocks.ts'
import type { LogWriter } from './log-writer.ts'
import { mergePositions } from './session-token.ts'

/** What a write path is made of. */
export interface WritePathOptions {
  readonly layout: LogLayout
  readonly topic: string
  readonly writer: LogWriter
  readonly view: AppliedView
  readonly replicas: readonly {
    readonly name: string
    readonly applier: AppliedReader
    readonly store: ReplicaStore
  }[]
  readonly clock: Clock
  /** How long an acknowledgement may take once the rows are in the log, ms. Default 30,000. */
  readonly acknowledgeWithinMs?: number
}

/** Rows not yet in the log that one insert may hold in memory, bytes. */
const MAX_PENDING_BYTES = 4 << 20
const HOLDERS_MS = 20

/** A write path over the replicas of one service. */
export function createWritePath(options: WritePathOptions): WriteLog {
  const { layout, writer, view, replicas, clock, topic, acknowledgeWithinMs = 30_000 } = options

  /** Who applies a segment, as soon as somebody does: between two routers nobody may, for a while. */
  async function holdersOf(segment: number, signal: AbortSignal): Promise<number[]> {
    for (;;) {
      const holders = view.holders(segment)
      if (holders.length > 0 || signal.aborted) return holders
      await delay(HOLDERS_MS)
    }
  }

  async function isApplied(
    segment: number,
    next: number,
    how: 'first' | 'all',
    signal: AbortSignal,
  ): Promise<boolean> {
    const holders = await holdersOf(segment, signal)
    const groups = how === 'first' ? [holders] : holders.map((i) => [i])
    const waits = groups.map((group) => view.untilFresh(group, new Map([[segment, next]]), signal))
    return !(await Promise.all(waits)).includes(false)
  }

  /** Waits until replicas have applied the last block of each segment. */
  async function acknowledged(bySegment: ReadonlyMap<number, number>, how: 'first' | 'all'): Promise<void> {
    const signal = AbortSignal.timeout(acknowledgeWithinMs)
    const waits = [...bySegment].map(([segment, next]) => isApplied(segment, next, how, signal))
    if ((await Promise.all(waits)).includes(false)) {
      throw new ForestallError(
        'REPLICA_LATE',
        `The rows are in the log and will be applied, but not every segment had a replica that did so within ${acknowledgeWithinMs} ms.`,
      )
    }
  }

  function openSink(insert: Parameters<WriteLog['open']>[0]): InsertSink {
    const { database, table, columns, acknowledge } = insert
    const repeatToken = loggedToken(insert.repeatToken)
    const target = { database, table, columns }
    const id = insertId(target, repeatToken, randomUUID())
    const cutter = createBlockCutter(layout, { id, target, repeatToken, issuedAtMs: clock.nowMs() })
    const positions = new Map<number, number>()
    const bySegment = new Map<number, number>()
    const underWay = new Set<Promise<void>>()
    let pendingBytes = 0
    let failure: unknown = null

    async function append({ partition, block }: PlacedBlock): Promise<void> {
      pendingBytes += block.data.length
      try {
        const [place] = await writer.append([{ partition, block }])
        if (place === undefined) return
        const next = place.offset + 1
        mergePositions(positions, new Map([[place.partition, next]]))
        mergePositions(bySegment, new Map(block.sections.map(({ segment }) => [segment, next])))
      } catch (error) {
        failure ??= error
      } finally {
        pendingBytes -= block.data.length
      }
    }

    function send(blocks: readonly PlacedBlock[]): void {
      for (const placed of blocks) {
        const run = append(placed).finally(() => underWay.delete(run))
        underWay.add(run)
      }
    }

    async function settle(maxBytes: number): Promise<void> {
      for (let left = pendingBytes; left > maxBytes && underWay.size > 0; left = pendingBytes) {
        await Promise.race(underWay)
      }
      if (failure !== null) throw failure as Error
    }

    return {
      async push(pairs) {
        send(cutter.push(pairs))
        await settle(MAX_PENDING_BYTES)
      },
      async finish() {
        send(cutter.end())
        await Promise.all(underWay)
        await settle(0)
        if (acknowledge !== 'log') await acknowledged(bySegment, acknowledge)
        return { positions, bySegment }
      },
    }
  }

  return {
    open: openSink,
    async change(statement, database) {
      const blocks = blockForAll(layout, 'statement', {
        id: randomUUID(),
        database,
        statement,
        issuedAtMs: clock.nowMs(),
      })
      const places = await writer.appendInOrder(blocks)
      const id = insertOf(blocks[0]?.block.block_id ?? '')
      const signal = AbortSignal.timeout(acknowledgeWithinMs)
      return Promise.all(
        replicas.map(async ({ name, applier, store }) => {
          const reached = await Promise.all(
            places.map(({ partition, offset }) => applier.reachedPartition(partition, offset + 1, signal)),
          )
          const isLate = reached.includes(false)
          const failure = isLate ? 'has not come to it yet; it will' : await store.statementOutcome(topic, id)
          return { instance: name, failure: failure ?? 'has not run it' }
        }),
      )
    },
  }
}
