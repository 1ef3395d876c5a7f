import type { DecisionInput } from '../../../schemas/index.ts'
import type { Round } from './round.ts'
import type { InputPartition } from './round-inputs.ts'

interface Row {
  readonly input: InputPartition
  readonly offset: number
  readonly row: object
}

interface Step {
  readonly rows: Row[]
  /** As they came, encoded. */
  bytes: number
}

/** The rows that wait for their round. */
export class RoundRows {
  readonly #steps = new Map<number, Step>()
  #bytes = 0

  /** Bytes of the rows that wait, as they were encoded. */
  get bytes(): number {
    return this.#bytes
  }

  add(timeMs: number, input: InputPartition, offset: number, row: object, bytes: number): void {
    let step = this.#steps.get(timeMs)
    if (step === undefined) this.#steps.set(timeMs, (step = { rows: [], bytes: 0 }))
    step.rows.push({ input, offset, row })
    step.bytes += bytes
    this.#bytes += bytes
  }

  /** Time steps up to `throughMs` that have rows, in order. */
  due(throughMs: number): number[] {
    return [...this.#steps.keys()].filter((t) => t <= throughMs).sort((a, b) => a - b)
  }

  /** Takes the rows of a time step out, sorted by partition and offset within each input. */
  take(timeMs: number, inputs: readonly InputPartition[], replayed: boolean): Round {
    const step = this.#steps.get(timeMs)
    this.#steps.delete(timeMs)
    this.#bytes -= step?.bytes ?? 0
    const rows: Record<string, unknown[]> = {}
    const last: DecisionInput[] = []
    for (const input of inputs) {
      const own = (step?.rows ?? []).filter((r) => r.input === input).sort((a, b) => a.offset - b.offset)
      rows[input.name] = [...(rows[input.name] ?? []), ...own.map((r) => r.row)]
      const offset = own.at(-1)?.offset
      if (offset !== undefined) last.push({ topic: input.topic, partition: input.partition, offset })
    }
    return { timeMs, rows, inputs: last, replayed }
  }

  /** The smallest offset of an input that waits; its position if none does. */
  replayFrom(input: InputPartition): number {
    let from = input.position
    for (const { rows } of this.#steps.values()) {
      for (const r of rows) if (r.input === input && r.offset < from) from = r.offset
    }
    return from
  }
}
