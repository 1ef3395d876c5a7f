import { join } from 'node:path'
import { isError, systemClock } from '#core/ports'
import type { Stack } from '#infra/local'
import type { UpArgs } from './args.ts'
import type { SubsystemDemo } from './demo/subsystem-demo.ts'
import type { SessionEvents } from './session.ts'
import { SUBSYSTEMS } from './subsystems.ts'

/** A subsystem that runs beside traffic-routing. */
export interface Beside {
  /** Its word in options, in names of topologies and in the summary. */
  readonly word: string
  readonly demo: SubsystemDemo
}

/**
 * Opens what the demo runs beside traffic-routing: every subsystem that has a part in it, unless it is left out. A machine
 * that cannot carry one runs without, and says why.
 */
export async function startBeside(
  args: UpArgs,
  stack: Stack,
  replayId: string,
  events: SessionEvents,
): Promise<Beside[]> {
  const started: Beside[] = []
  try {
    for (const { name, word, demo } of SUBSYSTEMS) {
      if (demo === undefined || args.subsystems?.includes(word) === false) continue
      events.onPhase(`starting ${name}: ${demo.adds}`)
      try {
        const opened = await demo.open({
          connections: stack.connections,
          prefix: `${replayId}.`,
          replayId,
          folder: join(args.dataDir, name),
          windowMs: args.windowMs,
          seed: args.seed,
          clock: systemClock,
          onWarning: events.onWarning,
          onFatal: events.onFatal,
        })
        started.push({ word, demo: opened })
      } catch (error) {
        if (!isError(error, 'SERVICE_MISSING')) throw error
        events.onWarning(new Error(`${name} is left out: ${error.message}`))
      }
    }
    return started
  } catch (error) {
    for (const { demo } of started.toReversed()) await demo.stop().catch(events.onWarning)
    throw error
  }
}
