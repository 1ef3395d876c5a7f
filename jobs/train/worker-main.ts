import { parentPort } from 'node:worker_threads'
import { type KnownEvent, selectChampion, type Selection, type SelectionInput } from '#core/forecasting'

/** A batch of series to choose champions for. `events`: the calendar, sent when it has changed. */
export interface TrainRequest {
  readonly batch: number
  readonly inputs: readonly Omit<SelectionInput, 'events'>[]
  readonly events?: readonly KnownEvent[]
}

/** What became of one series: its selection, or why there is none. */
export type TrainOutcome = Selection | { readonly failure: string }

/** Outcomes in the order of the inputs. */
export interface TrainReply {
  readonly batch: number
  readonly outcomes: readonly TrainOutcome[]
}

let events: readonly KnownEvent[] = []

function outcomeOf(input: Omit<SelectionInput, 'events'>): TrainOutcome {
  try {
    return selectChampion({ ...input, events })
  } catch (error) {
    return { failure: (error as Error).message }
  }
}

parentPort?.on('message', (request: TrainRequest) => {
  events = request.events ?? events
  const reply: TrainReply = { batch: request.batch, outcomes: request.inputs.map(outcomeOf) }
  parentPort?.postMessage(reply, [])
})
