import { setTimeout as delay } from 'node:timers/promises'
import { type Broker, type GroupReader, isError } from '#core/ports'

/** The right to apply the write log of a service: one router at a time has it. */
export interface Lease {
  /** Whether it is held, and this process has neither been stopped nor unheard for so long that it may be another's by now. */
  isHeld(): boolean
  /** Begins to ask for it; resolves at once. */
  start(): void
  /** Gives it up; resolves once `onLost` has, if it was held. */
  close(): Promise<void>
}

/** What a lease is made of. */
export interface LeaseOptions {
  readonly broker: Broker
  /** One for each service. */
  readonly groupId: string
  /** Any topic that exists: its partitions are dealt as one, and are not read. */
  readonly topic: string
  /**
   * What no two living processes share: a process that comes back under it takes over at once, although what the dead
   * one has sent may still be carried out. Without it the others' wait is for that, too.
   */
  readonly slot?: string
  /** How long the others wait for a router that says nothing, ms. Default `LEASE_SESSION_MS`. */
  readonly sessionMs?: number
  /** It is held: whatever it allows may begin. Tried again if it fails. */
  readonly onTaken: () => Promise<void>
  /** It is not held any more, or will not be: resolves once nothing of that goes on. */
  readonly onLost: () => Promise<void>
  readonly onWarning: (error: Error) => void
}

/** How long the others wait for a router that says nothing, ms: the least that brokers allow. */
export const LEASE_SESSION_MS = 6000
const TICK_MS = 250
const RETRY_MS = 1000
/** A member is not heard of for this long before its session ends: what it has begun with by then is under way. */
const MARGIN_MS = 1000

/**
 * A lease by membership in a consumer group: all partitions of a topic go to one member, who keeps them as long as its
 * heartbeats come. A process that was stopped for half a session does not trust what it held, and asks anew.
 */
export function createLease(options: LeaseOptions): Lease {
  const { broker, groupId, topic, sessionMs = LEASE_SESSION_MS, onWarning } = options
  let reader: GroupReader | null = null
  let wanted = false
  let isTaken = false
  let isClosed = false
  let { slot } = options
  let turn: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | null = null
  let lastTickMs = performance.now()

  const wasStopped = (): boolean => performance.now() - lastTickMs > sessionMs / 2
  const warn = (error: unknown): void => onWarning(error instanceof Error ? error : new Error(String(error)))

  async function change(): Promise<void> {
    const next = wanted
    try {
      if (next) await options.onTaken()
      else await options.onLost()
      isTaken = next
    } catch (error) {
      warn(error)
      // What has begun must end before it begins again.
      if (next) await options.onLost().catch(warn)
      isTaken = false
      await delay(RETRY_MS)
    }
  }

  async function comeToIt(): Promise<void> {
    while (wanted !== isTaken) await change()
  }

  /** Comes to what is wanted, one change after another. */
  function settle(): Promise<void> {
    turn = turn.then(comeToIt)
    return turn
  }

  function want(next: boolean): Promise<void> {
    wanted = next
    return settle()
  }

  async function join(): Promise<void> {
    const made = broker.groupReader(
      {
        groupId,
        topics: [topic],
        assignment: 'single',
        cooperative: true,
        sessionTimeoutMs: sessionMs,
        ...(slot === undefined ? {} : { groupInstanceId: slot, leavesOnClose: true }),
      },
      {
        onAssigned({ partitions }) {
          if (partitions.length === 0) return new Map()
          made.pause(partitions)
          if (made === reader) void want(true)
          return new Map()
        },
        onRevoked: () => (made === reader ? want(false) : Promise.resolve()),
        onRebalance: () => Promise.resolve(),
        async onKept(_, lost) {
          if (lost.length > 0 && made === reader) await want(false)
        },
        onBatch: () => undefined,
        onError(error) {
          warn(error)
          // Somebody else lives under this name: it must not go to and fro.
          if (isError(error, 'INSTANCE_FENCED')) slot = undefined
          if (made === reader) void again()
        },
      },
    )
    reader = made
    try {
      await made.start()
    } catch (error) {
      warn(error)
      if (made === reader) void again()
    }
  }

  /** Leaves and joins: what was held is not trusted. */
  async function again(): Promise<void> {
    const old = reader
    reader = null
    await Promise.all([want(false), old?.close().catch(warn)])
    await delay(RETRY_MS, undefined, { ref: false })
    if (!isClosed && reader === null) await join()
  }

  function tick(): void {
    const late = wasStopped()
    lastTickMs = performance.now()
    if (!late || reader === null) return
    wanted = false
    void again()
  }

  return {
    isHeld: () =>
      wanted && !wasStopped() && (reader?.silenceMs() ?? Number.POSITIVE_INFINITY) < sessionMs - MARGIN_MS,
    start() {
      timer ??= setInterval(tick, TICK_MS).unref()
      lastTickMs = performance.now()
      void join()
    },
    async close() {
      isClosed = true
      if (timer !== null) clearInterval(timer)
      const old = reader
      reader = null
      await want(false)
      await old?.close().catch(warn)
    },
  }
}
