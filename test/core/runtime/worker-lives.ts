import * as fc from 'fast-check'
import type { Flow } from '../../../schemas/index.ts'
import { expectWhole, type Process, sender, type World } from './worker-world.ts'

/** A timer that does not tick: the process does only what batches make it do, and is dead once it is killed. */
const UNTIMED = { commitIntervalMs: 3_600_000 }

const send = (aheadMs: number, stream: number) =>
  fc.record({
    kind: fc.constant('send' as const),
    partition: fc.nat(2),
    aheadMs: fc.nat(aheadMs),
    stream: fc.nat(stream),
    bytes: fc.nat(1000),
  })
const turn = fc.record({ kind: fc.constantFrom('settle', 'turn', 'stop', 'kill', 'other') })

/** Flows that are sent to three partitions, between stops, kills and rebalances of the processes that read them. */
export const lives = (most: { readonly aheadMs: number; readonly stream: number }) =>
  fc.array(
    fc.oneof({ weight: 6, arbitrary: send(most.aheadMs, most.stream) }, { weight: 1, arbitrary: turn }),
    { maxLength: 60 },
  )

type Steps = ReturnType<typeof lives> extends fc.Arbitrary<infer T> ? T : never

/** Lets processes live and die like that, until one has taken in all that was sent; every record is accounted for once. */
export async function liveThrough(world: World, steps: Steps): Promise<readonly Flow[]> {
  const input = sender(world)
  let first = await world.launch('a', UNTIMED)
  let second: Process | null = null
  for (const s of steps) {
    if (s.kind === 'send') input.send(s.partition, s.aheadMs, s.stream, s.bytes)
    else if (s.kind === 'settle') await Promise.resolve()
    else if (s.kind === 'turn') await new Promise((resolve) => setImmediate(resolve))
    else if (s.kind === 'other') {
      if (second === null) second = await world.launch('b', UNTIMED)
      else {
        second.kill()
        await world.broker.expire()
        second = null
      }
    } else {
      if (s.kind === 'stop') await first.worker.stop()
      first.kill()
      first = await world.launch('a', UNTIMED)
    }
  }
  // What is open now is committed by timers.
  first.kill()
  second?.kill()
  await world.broker.expire()
  await world.launch('c')
  world.end()
  await world.flushed()
  expectWhole(await world.read('audit.offsets', 'OffsetLedger'), input.flows.length)
  return input.flows
}
