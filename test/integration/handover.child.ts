/** A regional processor as a process of its own, to be killed: `node handover.child.ts <brokers> <prefix> <region>`. */
import { createBroker } from '#infra/kafka'
import { benchProcessor, topicsOf } from '../traffic-routing/handover-bench.ts'

const [brokers = '', prefix = '', region = ''] = process.argv.slice(2)
const broker = createBroker({ bootstrapBrokers: brokers.split(','), clientId: `processor-${region}` })
const processor = benchProcessor(broker, topicsOf(prefix), region, {
  commitIntervalMs: 20,
  onWarning: (error) => console.error(error.message),
})
process.once('SIGTERM', () => {
  processor
    .stop()
    .then(() => broker.close())
    .catch(console.error)
})
await processor.start()
console.log('running')
await processor.done
