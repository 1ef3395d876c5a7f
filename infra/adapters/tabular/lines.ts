import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'

/** Lines of a text file, `.gz` unpacked on the way; holds one chunk at a time. Rejects if the file cannot be read. */
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
    yield* lines
    if (failure !== null) throw failure
  } finally {
    lines.close()
    file.destroy()
  }
}
