import type { Life } from '#infra/clickhouse'

/** In which life of a ClickHouse everything that was sent to it has ended. */
export interface Lives {
  /** An insert begins; to be called back with whether its end is known. */
  begin(token: string): (hasEnded: boolean) => void
  /** Whether an insert with this token has ended nobody knows how. */
  isDoubtful(token: string): boolean
  /** The present life; '' while something that was sent in another one may be open. */
  settled(): Promise<string>
}

/** Nothing has been sent yet. */
export function createLives(life: Life): Lives {
  const doubtful = new Set<string>()
  const open = new Set<number>()
  let begun = 0
  /** What was read last, and what had begun until then. */
  let known: { readonly name: string; readonly begun: number } | null = null

  return {
    begin(token) {
      const own = ++begun
      open.add(own)
      return (hasEnded) => {
        open.delete(own)
        if (hasEnded) doubtful.delete(token)
        else {
          doubtful.add(token)
          known = null
        }
      }
    },
    isDoubtful: (token) => doubtful.has(token),
    async settled() {
      if (doubtful.size > 0) return ''
      if (known === null) {
        const until = begun
        // What was read before an insert failed says nothing of the life that comes after.
        life.forget()
        const name = await life.name()
        if (doubtful.size > 0) return ''
        known = { name, begun: until }
      }
      for (const own of open) if (own <= known.begun) return ''
      return known.name
    },
  }
}
