import { errorLines } from './errors-exit.ts'

const AGAIN_MS = 60_000
const MOST = 200

/**
 * Writes warnings with their code, each text at most once a minute: what is tried again every second says so once, and
 * then how often it was.
 */
export function createWarner(
  write: (line: string) => void = (line) => process.stderr.write(`${line}\n`),
  nowMs: () => number = () => performance.now(),
): (error: Error) => void {
  const said = new Map<string, { atMs: number; since: number }>()
  return (error) => {
    const text = errorLines(error)[0] ?? ''
    const now = nowMs()
    const before = said.get(text)
    if (before !== undefined && now - before.atMs < AGAIN_MS) {
      before.since++
      return
    }
    if (said.size >= MOST) said.clear()
    said.set(text, { atMs: now, since: 0 })
    const often = before === undefined || before.since === 0 ? '' : ` (${before.since} times more)`
    write(`warning: ${text}${often}`)
  }
}
