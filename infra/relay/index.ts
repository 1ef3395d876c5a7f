export { type Direction, faultInWords, type NetworkFault } from './faults.ts'
export { type Relay, type RelayOptions, startRelay } from './relay.ts'
