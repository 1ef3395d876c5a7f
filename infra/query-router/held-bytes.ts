import { RouterException } from './exceptions.ts'

/** What one request holds in memory. */
export interface Holding {
  /** Throws 241 if all requests together would hold too much. */
  readonly take: (bytes: number) => void
  /** Gives everything back. */
  readonly end: () => void
}

/** Counts what requests hold in memory: clients that send slowly, or many at once, must not take all of it. */
export function createHeldBytes(maxBytes: number): () => Holding {
  let held = 0
  return () => {
    let own = 0
    return {
      take(bytes) {
        if (held + bytes > maxBytes) {
          throw new RouterException(
            241,
            'MEMORY_LIMIT_EXCEEDED',
            `Statements and rows that are being read would take more than ${maxBytes} bytes together: try again`,
            503,
          )
        }
        held += bytes
        own += bytes
      },
      end() {
        held -= own
        own = 0
      },
    }
  }
}
