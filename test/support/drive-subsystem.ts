import { NO_TABLES } from '#core/forecasting'
import { type ManualClock, manualClock } from '#core/ports'
import { PARTS, type Subsystem, type SubsystemDeps } from '#core/subsystem'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'

/** The topologies of a subsystem, chained on one driver. */
export interface Driven {
  readonly driver: TestDriver
  readonly clock: ManualClock
}

/** All parts of a subsystem on the test driver; what stands is read back from the decisions committed so far. */
export async function driveSubsystem<Config>(
  subsystem: Subsystem<Config>,
  config: Config,
  options: { readonly startMs: number; readonly partitions: Readonly<Record<string, number>> },
): Promise<Driven> {
  const clock = manualClock(options.startMs)
  const held: { driver?: TestDriver } = {}
  const readStanding = (async (outputs: Parameters<SubsystemDeps['readStanding']>[0]) =>
    Object.fromEntries(
      Object.entries(outputs).map(([name, { topic, record }]) => {
        const records = held.driver?.output(topic, record) ?? []
        return [name, new Map(records.map((decision) => [decision.entity, decision]))]
      }),
    )) as unknown as SubsystemDeps['readStanding']
  const topologies = await subsystem.topologies(config, {
    clock,
    tables: NO_TABLES,
    readStanding,
    solvers: () => Promise.reject(new Error('this subsystem is driven without solvers')),
  })
  const partitions = { ...subsystem.partitions(config), ...options.partitions }
  const driver = await createTestDriver(
    PARTS.map((part) => topologies[part]),
    { partitions, clock },
  )
  held.driver = driver
  return { driver, clock }
}
