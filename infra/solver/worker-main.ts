import { parentPort } from 'node:worker_threads'
import type { LinearProgram } from '#core/ports'
import { createInlineSolver } from './highs.ts'

/** What the worker is asked: solve `program` within `deadlineMs`. */
export interface WorkerRequest {
  readonly id: number
  readonly program: LinearProgram
  readonly deadlineMs: number
}

const solver = await createInlineSolver()
parentPort?.on('message', ({ id, program, deadlineMs }: WorkerRequest) => {
  try {
    const model = solver.model(program)
    try {
      parentPort?.postMessage({ id, solution: model.solve(deadlineMs) })
    } finally {
      model.dispose()
    }
  } catch {
    const solution = { status: 'failed', objective: NaN, x: new Float64Array(program.columns) }
    parentPort?.postMessage({ id, solution })
  }
})
parentPort?.postMessage({ ready: true })
