import { createInterface } from 'node:readline'
import { createCodec } from '#core/codec'
import { mulberry32, systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { queryRouterConfig } from '../query-router-config.ts'
import { openMover } from '../query-router-moves.ts'
import { openQueryRouter } from '../query-router-open.ts'
import type { MoveCommand, MoveReport, MovesProcessOptions } from './moves-driver.ts'

/**
 * A query router with its mover, in a process that is there to be killed. Commands come as JSON lines on standard
 * input, reports go as JSON lines to standard output.
 */
async function run(options: MovesProcessOptions): Promise<void> {
  const config = queryRouterConfig(options.config)
  const broker = createBroker({ bootstrapBrokers: options.brokers, clientId: 'moves-bench' })
  const codec = createCodec(createRegistryClient({ url: options.registryUrl }))
  const onWarning = (error: Error): void => {
    process.stderr.write(`router: ${error.message}\n`)
  }
  const say = (report: MoveReport): void => {
    process.stdout.write(`${JSON.stringify(report)}\n`)
  }
  const opened = await openQueryRouter({
    config,
    broker,
    codec,
    clock: systemClock,
    topicPrefix: options.prefix,
    random: mulberry32(1),
    onWarning,
  })
  const { mover } = await openMover({
    config,
    opened,
    broker,
    codec,
    clock: systemClock,
    topicPrefix: options.prefix,
    replayId: null,
    id: 'moves-bench',
    reversibleMs: options.reversibleMs,
    onPhase: (state) => say({ kind: 'phase', state }),
    onPause: (elapsedMs) => say({ kind: 'pause', elapsedMs }),
    onWarning,
  })
  const readers = (): string[][] => Array.from({ length: config.segments }, (_, s) => mover.readers(s))
  say({ kind: 'ready', readers: readers(), states: [...mover.states()] })
  const failed = (error: unknown): void => say({ kind: 'refused', reason: (error as Error).message })
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as MoveCommand
    if (command.do === 'move') mover.move(command.segment, command.move).catch(failed)
    else if (command.do === 'reverse') mover.reverse(command.moveId).catch(failed)
    else
      say({
        kind: 'readers',
        readers: readers(),
        next: opened.appliers.map((a) => Array.from({ length: config.partitions }, (_, p) => a.next(p))),
      })
  }
}

await run(JSON.parse(process.argv[2] ?? '{}') as MovesProcessOptions)
