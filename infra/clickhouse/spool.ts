import {
  closeSync,
  createWriteStream,
  ftruncateSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { refusal } from './exceptions.ts'

/** Files of the requests under way: bodies of inserts, answers of queries. */
export interface Spool {
  readonly dir: string
  /** A path that does not exist yet; no path contains another. */
  newPath(): string
  /**
   * Writes bytes to a new file; `remove` it when done. Throws 241 if all bodies together take too much, 243 if the
   * disk is full.
   */
  write(parts: (Uint8Array | Readable)[]): Promise<{ path: string; bytes: number }>
  /** Throws 243 if the disk has no room behind this file: what the engine wrote to it may then be cut off. */
  checkRoomBehind(path: string): void
  /** Throws 243 if the disk has no room for a megabyte: the engine acknowledges statements whose files it cut off. */
  checkRoom(): Promise<void>
  remove(path: string): Promise<void>
}

/** Linux and macOS: no space, over quota, and beyond the size that this process may write. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const ROOM = Buffer.alloc(64 << 10)
const STATEMENT_ROOM = Buffer.alloc(1 << 20)

/** A failed write as ClickHouse words a full disk, which passes; other errors as they are. */
function asFull(error: unknown): unknown {
  const { code = '' } = error as NodeJS.ErrnoException
  return FULL.has(code) ? refusal(243, 'NOT_ENOUGH_SPACE', `The disk is full: ${code}`) : error
}

/** Opens (and empties) the folder. At most `maxBytes` per file and `maxTotalBytes` in all. */
export function openSpool(dir: string, maxBytes: number, maxTotalBytes: number): Spool {
  mkdirSync(dir, { recursive: true })
  for (const left of readdirSync(dir)) rmSync(join(dir, left), { recursive: true, force: true })
  let serial = 0
  let total = 0
  const sizes = new Map<string, number>()

  function counting(path: string): Transform {
    return new Transform({
      transform(chunk: Buffer, _encoding, done) {
        const size = (sizes.get(path) ?? 0) + chunk.length
        sizes.set(path, size)
        total += chunk.length
        if (size > maxBytes)
          done(refusal(229, 'QUERY_IS_TOO_LARGE', `The body is larger than ${maxBytes} bytes`))
        else if (total > maxTotalBytes) {
          done(
            refusal(
              241,
              'MEMORY_LIMIT_EXCEEDED',
              `All bodies together are larger than ${maxTotalBytes} bytes`,
            ),
          )
        } else done(null, chunk)
      },
    })
  }

  const spool: Spool = {
    dir,
    newPath: () => join(dir, `${++serial}.spool`),
    async write(parts) {
      const path = spool.newPath()
      sizes.set(path, 0)
      try {
        await pipeline(
          Readable.from(chunksOf(parts), { objectMode: false }),
          counting(path),
          createWriteStream(path),
        )
        return { path, bytes: sizes.get(path) ?? 0 }
      } catch (error) {
        await spool.remove(path)
        throw asFull(error)
      }
    },
    checkRoomBehind(path) {
      // The engine says nothing when the last bytes of an answer do not fit.
      const file = openSync(path, 'r+')
      try {
        const { size } = fstatSync(file)
        writeSync(file, ROOM, 0, ROOM.length, size)
        ftruncateSync(file, size)
      } catch (error) {
        throw asFull(error)
      } finally {
        closeSync(file)
      }
    },
    async checkRoom() {
      const { path } = await spool.write([STATEMENT_ROOM])
      await spool.remove(path)
    },
    async remove(path) {
      total -= sizes.get(path) ?? 0
      sizes.delete(path)
      await rm(path, { force: true })
    },
  }
  return spool
}

async function* chunksOf(parts: (Uint8Array | Readable)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Readable) yield* part as AsyncIterable<Buffer>
    else if (part.length > 0) yield part
  }
}
