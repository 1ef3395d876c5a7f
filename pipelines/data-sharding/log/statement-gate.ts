/** Where the partitions of a replica meet, so that a statement runs once, when all of them have come to it. */
export interface StatementGate {
  /**
   * Called by each partition that has come to the statement. The last one runs it; all go on once it has run. A
   * statement that has run before (`hasRun`) holds nobody up.
   */
  pass(id: string, partition: number, run: () => Promise<void>): Promise<void>
  /** Turns away whoever waits. */
  close(): void
}

/** A gate for the given number of partitions; `hasRun` asks the replica. */
export function createStatementGate(
  partitions: number,
  hasRun: (id: string) => Promise<boolean>,
): StatementGate {
  const waiting = new Map<string, { arrived: Set<number>; open: PromiseWithResolvers<void> }>()
  return {
    async pass(id, partition, run) {
      if (await hasRun(id)) return
      let entry = waiting.get(id)
      if (entry === undefined) {
        entry = { arrived: new Set(), open: Promise.withResolvers() }
        entry.open.promise.catch(() => undefined)
        waiting.set(id, entry)
      }
      entry.arrived.add(partition)
      if (entry.arrived.size < partitions) return entry.open.promise
      try {
        await run()
        entry.open.resolve()
      } catch (error) {
        entry.open.reject(error)
        throw error
      } finally {
        waiting.delete(id)
      }
    },
    close() {
      for (const { open } of waiting.values()) open.reject(new Error('The applier has stopped'))
    },
  }
}
