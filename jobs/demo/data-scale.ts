import type { DataScaleBody } from '#schemas'
import { createPause, type DecisionApplier, ForestallError, type Pause, systemTimers } from '#core/ports'
import type { OpenRouter } from '../query-router-open.ts'
import type { DataInstances } from './data-instances.ts'

/** Puts instance counts into force with processes of this machine. */
export interface LocalScaler {
  readonly applier: DecisionApplier<DataScaleBody>
  /** Instances that were started and ended for a decision. */
  counts(): { readonly started: number; readonly ended: number }
  /** Ends what is under way. */
  stop(): Promise<void>
}

/** What a scaler works on. */
export interface LocalScalerOptions {
  readonly service: string
  /** Every instance that there may be, in the order in which they come; the first ones run. */
  readonly names: readonly string[]
  readonly instances: DataInstances
  readonly router: Pick<OpenRouter, 'instances' | 'add' | 'remove'>
  readonly onWarning: (error: Error) => void
}

const LOOK_MS = 500

/**
 * A scaler: an instance that is wanted is started and taken in by the router before the decision counts as applied; one
 * that is not is ended once it holds nothing any more, which takes its moves.
 */
export function createLocalScaler(options: LocalScalerOptions): LocalScaler {
  const { service, names, instances, router, onWarning } = options
  const counts = { started: 0, ended: 0 }
  let wanted = instances.list.length
  let emptying: Promise<void> | null = null
  let isStopped = false
  let pause: Pause | null = null

  async function grow(): Promise<void> {
    for (const name of names.slice(0, wanted)) {
      if (instances.list.some((it) => it.name === name)) continue
      const { url } = await instances.start(name)
      await router.add({ name, url })
      counts.started++
    }
  }

  /** True once there is nothing left to end. */
  async function shrink(): Promise<boolean> {
    const surplus = names.slice(wanted).filter((name) => instances.list.some((it) => it.name === name))
    const last = surplus.at(-1)
    if (last === undefined) return true
    const known = router.instances().find((it) => it.name === last)
    if (known !== undefined && known.applied.segments().length > 0) return false
    if (known !== undefined) await router.remove(last)
    await instances.end(last)
    counts.ended++
    return surplus.length === 1
  }

  async function empty(): Promise<void> {
    if (isStopped || (await shrink().catch((error: Error) => (onWarning(error), false)))) return
    pause = createPause(systemTimers)
    await pause.wait(LOOK_MS)
    return empty()
  }

  return {
    applier: {
      async apply({ body }) {
        if (body.service !== service)
          throw new ForestallError('DATA_PLANE_REFUSED', `${body.service} is not the service of this scaler.`)
        wanted = body.instances
        await grow()
        emptying ??= empty().finally(() => {
          emptying = null
        })
        return { instances: String(instances.list.length) }
      },
      revert: () => Promise.resolve(),
    },
    counts: () => ({ ...counts }),
    async stop() {
      isStopped = true
      pause?.end()
      await emptying
    },
  }
}
