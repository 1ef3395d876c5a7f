import { parentPort } from 'node:worker_threads'
import type { LinearModel, LinearProgram, LinearRows, LinearSolution } from '#core/ports'
import { createInlineSolver } from './highs.ts'

/** What the worker is asked to do with the model `id`, in order. */
export type WorkerRequest =
  | { readonly op: 'model'; readonly id: number; readonly program: LinearProgram }
  | { readonly op: 'rows'; readonly id: number; readonly rows: LinearRows }
  | { readonly op: 'solve'; readonly id: number; readonly call: number; readonly deadlineMs: number }
  | { readonly op: 'dispose'; readonly id: number }

/** What the worker says: that it is loaded, or the result of solve number `call`. */
export type WorkerReply =
  | { readonly ready: true }
  | { readonly call: number; readonly solution: LinearSolution }

const solver = await createInlineSolver()
const models = new Map<number, LinearModel>()
const failed: LinearSolution = { status: 'failed', objective: NaN, x: new Float64Array(0) }

function attempt<T>(act: () => T, otherwise: T): T {
  try {
    return act()
  } catch {
    return otherwise
  }
}

function handle(request: WorkerRequest): void {
  const { id } = request
  if (request.op === 'model') {
    const model = attempt(() => solver.model(request.program), undefined)
    if (model !== undefined) models.set(id, model)
  } else if (request.op === 'rows') {
    const added = attempt(() => {
      models.get(id)?.addRows(request.rows)
      return true
    }, false)
    // Without these rows the answer would be to another program.
    if (!added) models.delete(id)
  } else if (request.op === 'solve') {
    const solution = attempt(() => models.get(id)?.solve(request.deadlineMs) ?? failed, failed)
    const reply: WorkerReply = { call: request.call, solution }
    parentPort?.postMessage(reply, [])
  } else {
    models.get(id)?.dispose()
    models.delete(id)
  }
}

parentPort?.on('message', handle)
parentPort?.postMessage({ ready: true } satisfies WorkerReply, [])
