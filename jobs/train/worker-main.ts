import { parentPort } from 'node:worker_threads'
import {
  decodeNet,
  type GlobalNet,
  globalNet,
  type KnownEvent,
  selectChampion,
  type Selection,
  type SelectionInput,
} from '#core/forecasting'

/** What is the same for all batches of a run: the calendar, and the networks that take part. */
export interface TrainWorld {
  readonly events: readonly KnownEvent[]
  readonly nets: readonly Uint8Array[]
}

/** A batch of series to choose champions for; the first one of a thread brings its world. */
export interface TrainRequest {
  readonly batch: number
  readonly inputs: readonly Omit<SelectionInput, 'events' | 'library'>[]
  readonly world?: TrainWorld
}

/** What became of one series: its selection, or why there is none. */
export type TrainOutcome = Selection | { readonly failure: string }

/** Outcomes in the order of the inputs. */
export interface TrainReply {
  readonly batch: number
  readonly outcomes: readonly TrainOutcome[]
}

let events: readonly KnownEvent[] = []
let nets: ReadonlyMap<string, GlobalNet> = new Map()

function outcomeOf(input: TrainRequest['inputs'][number]): TrainOutcome {
  try {
    return selectChampion({ ...input, events, library: { nets } })
  } catch (error) {
    return { failure: (error as Error).message }
  }
}

parentPort?.on('message', (request: TrainRequest) => {
  if (request.world) {
    events = request.world.events
    nets = new Map(
      request.world.nets.map((state) => {
        const net = globalNet(decodeNet(state))
        return [net.layout.id, net]
      }),
    )
  }
  const reply: TrainReply = { batch: request.batch, outcomes: request.inputs.map(outcomeOf) }
  parentPort?.postMessage(reply, [])
})
