/**
 * What a data-plane process of this subsystem loads: the route table with its applier, and the regional processors.
 * No solver, no model, no stream runtime.
 */
export { createFlowStreams, forwardTo } from './processor-flows.ts'
export {
  createProcessor,
  type Emit,
  type Processor,
  type ProcessorHealth,
  type ProcessorOptions,
} from './processor.ts'
export * from './sdk/index.ts'
