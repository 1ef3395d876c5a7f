export { createInlineSolver } from './highs.ts'
export { createWorkerSolver } from './worker.ts'
