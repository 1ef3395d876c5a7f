import type { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { abort } from './abort.ts'
import type { Conditions } from './faults.ts'

/** One direction of a connection. */
export interface Flow {
  /** Bytes that have not been passed on. */
  readonly heldBytes: number
  /** The conditions have changed. */
  pump(): void
  close(): void
}

/** What a flow connects. */
export interface FlowOptions {
  readonly from: Socket
  readonly to: Socket
  readonly conditions: () => Conditions
  /** In [0, 1). */
  readonly uniform: () => number
  readonly onPassed: (bytes: number) => void
  /** Its end or reset has been passed on. */
  readonly onOver: () => void
}

/** Beyond this the sender is told to wait, as a full socket buffer would. */
const MOST_HELD_BYTES = 1 << 20
/** With a narrow bandwidth bytes go in pieces of this many milliseconds' worth. */
const PIECE_MS = 20

type Item = { readonly dueMs: number } & (
  | { readonly what: 'bytes'; readonly bytes: Buffer }
  | { readonly what: 'end' | 'reset' }
)

/** Passes what comes from one socket on to another, in order: bytes, the end, and a reset. */
export function createFlow({ from, to, conditions, uniform, onPassed, onOver }: FlowOptions): Flow {
  const queue: Item[] = []
  let heldBytes = 0
  let lastDueMs = 0
  /** When the line is free again. */
  let freeMs = 0
  let timer: NodeJS.Timeout | null = null
  let draining = false
  let over = false

  function dueMs(): number {
    const { delayMs, jitterMs } = conditions()
    lastDueMs = Math.max(lastDueMs, performance.now() + delayMs + jitterMs * uniform())
    return lastDueMs
  }

  function take(bytes: Buffer): void {
    const { bytesPerSecond } = conditions()
    const piece = Math.max(1, Math.floor((bytesPerSecond * PIECE_MS) / 1000))
    const due = dueMs()
    for (let at = 0; at < bytes.length; at += piece)
      queue.push({ what: 'bytes', dueMs: due, bytes: bytes.subarray(at, at + piece) })
    heldBytes += bytes.length
    if (heldBytes > MOST_HELD_BYTES) from.pause()
    pump()
  }

  function close(): void {
    over = true
    queue.length = 0
    if (timer !== null) clearTimeout(timer)
  }

  function finish(what: 'end' | 'reset'): void {
    close()
    if (what === 'end') to.end()
    else abort(to)
    onOver()
  }

  /** When the first item may go; null while nothing may. */
  function nextMs(): number | null {
    const [first] = queue
    if (first === undefined || draining || over || conditions().held) return null
    return Math.max(first.dueMs, conditions().bytesPerSecond === Infinity ? 0 : freeMs)
  }

  function pass(item: Item): void {
    if (item.what !== 'bytes') return finish(item.what)
    heldBytes -= item.bytes.length
    const { bytesPerSecond } = conditions()
    freeMs = Math.max(freeMs, performance.now()) + (item.bytes.length * 1000) / bytesPerSecond
    onPassed(item.bytes.length)
    if (over || to.destroyed) return
    draining = !to.write(item.bytes)
  }

  function pump(): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    for (;;) {
      const at = nextMs()
      if (at === null) break
      const waitMs = at - performance.now()
      if (waitMs > 0) {
        timer = setTimeout(pump, Math.ceil(waitMs))
        break
      }
      pass(queue.shift() as Item)
    }
    if (!over && heldBytes <= MOST_HELD_BYTES && from.isPaused()) from.resume()
  }

  const put = (what: 'end' | 'reset'): void => {
    if (over) return
    queue.push({ what, dueMs: dueMs() })
    pump()
  }
  from.on('data', take)
  from.once('end', () => put('end'))
  from.once('error', () => put('reset'))
  to.on('drain', () => {
    draining = false
    pump()
  })
  return {
    get heldBytes() {
      return heldBytes
    },
    pump,
    close,
  }
}
