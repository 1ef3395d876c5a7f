import { Buffer } from 'node:buffer'
import type { Reader } from '@platformatic/kafka'

/** So many are kept: one is read while the next is fetched. */
const KEPT = 2
/** One so many times larger than the last answer is given up: who has caught up gets small answers. */
const MOST_TIMES = 8

/**
 * Memory of answers that is used again. New memory for each costs page faults and collections of the whole heap: V8
 * counts what lies outside of it, too. An answer that is never given back is collected as any object.
 */
export class AnswerBuffers {
  readonly #own = new WeakSet<ArrayBufferLike>()
  readonly #free: Buffer[] = []
  #lastBytes = 0

  /** What an answer says from `start` on, in one piece; valid until it is given back. */
  join(answer: Reader['buffer'], start: number): Buffer {
    const { buffers, length } = answer.subarray(start)
    const [first] = buffers
    if (buffers.length === 1 && first !== undefined) return first
    const memory = this.#take(length)
    let at = 0
    for (const part of buffers) {
      memory.set(part, at)
      at += part.length
    }
    return memory.subarray(0, length)
  }

  giveBack(answer: Buffer): void {
    const { buffer } = answer
    // Small answers lie in memory of their socket.
    if (!this.#own.has(buffer)) return
    if (this.#free.length < KEPT && buffer.byteLength <= this.#lastBytes * MOST_TIMES)
      this.#free.push(Buffer.from(buffer))
  }

  #take(length: number): Buffer {
    this.#lastBytes = length
    const at = this.#free.findIndex((memory) => memory.length >= length)
    const found = at < 0 ? undefined : this.#free.splice(at, 1)[0]
    if (found !== undefined) return found
    this.#free.pop()
    // Room for answers that are a little larger.
    const made = Buffer.allocUnsafeSlow(length + (length >>> 2))
    this.#own.add(made.buffer)
    return made
  }
}
