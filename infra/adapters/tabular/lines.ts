import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { ForestallError } from '#core/ports'

/**
 * Lines of a text file, `.gz` unpacked on the way, without a byte order mark; holds one chunk at a time.
 * Throws CONFIG_INVALID if the file cannot be read or unpacked.
 */
export async function* readLines(path: string): AsyncGenerator<string> {
  const file = createReadStream(path)
  const text = path.endsWith('.gz') ? file.pipe(createGunzip()) : file
  // `pipe` does not hand errors on, and readline swallows those of its input.
  let failure: unknown = null
  const fail = (error: unknown): void => {
    failure = error
    text.destroy()
    lines.close()
  }
  const lines = createInterface({ input: text, crlfDelay: Number.POSITIVE_INFINITY })
  file.once('error', fail)
  text.once('error', fail)
  try {
    let isFirst = true
    for await (const line of lines) {
      yield isFirst && line.startsWith('\uFEFF') ? line.slice(1) : line
      isFirst = false
    }
    if (failure !== null) throw failure
  } catch (error) {
    // Some errors come from the interface itself, some only from its input.
    throw unreadable(path, failure ?? error)
  } finally {
    lines.close()
    file.destroy()
  }
}

const unreadable = (path: string, cause: unknown): ForestallError =>
  new ForestallError('CONFIG_INVALID', `${path} cannot be read: ${(cause as Error).message}.`, {
    cause,
    cure: 'Name a file that may be read; one that ends in .gz has to be whole gzip.',
  })
