export { startChild, type Child, type ChildOptions } from './child.ts'
export {
  externalParts,
  type ClickHouseConnection,
  type ExternalParts,
  type KafkaConnection,
  type RegistryConnection,
} from './config.ts'
export { freePort } from './free-port.ts'
export { startKafka, type KafkaProcess, type KafkaProcessOptions } from './kafka-process.ts'
export type { KafkaListener } from './kafka-settings.ts'
export { fetchWithMaven } from './maven.ts'
export { identityOf, isRunning, waitUntilGone, type ProcessIdentity } from './process-identity.ts'
export { findProgram } from './programs.ts'
export { startStack, type Stack, type StackConfig, type StackProgress } from './stack.ts'
export { stopOnSignals } from './stop-on-signals.ts'
export {
  openSupervisor,
  type LaunchContext,
  type Part,
  type PartDeath,
  type RunningPart,
  type Supervisor,
  type SupervisorOptions,
} from './supervisor.ts'
