import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { shortPlan } from '../../jobs/chaos/plans.ts'
import { runChaos } from '../../jobs/chaos/run.ts'
import { failOnLeaks } from '../support/leaks.ts'

failOnLeaks()

/** A run that has nothing against the pipelines. */
const SOUND = { unknown: 0, lost: 0, duplicated: 0, wrong: 0, details: [], sound: true }

const CASES = [
  { brokers: 1, what: 'every kind of fault, side by side' },
  { brokers: 3, what: 'leader, group coordinator and transaction coordinator killed in turn' },
] as const

test.for(CASES)(
  '$brokers broker(s), $what: nothing lost, duplicated or wrong',
  { timeout: 300_000 },
  async ({ brokers }, context) => {
    if (inject('stackMissing') !== '') context.skip(inject('stackMissing'))
    const plan = shortPlan({ seed: 11, brokers })
    const dataDir = mkdtempSync(join(tmpdir(), 'forestall-chaos-test-'))
    const events: string[] = []
    const partsDir = join(import.meta.dirname, '../../.forestall/parts')
    const result = await runChaos({ plan, dataDir, partsDir, onEvent: (text) => events.push(text) })
    if (!result.sound) await context.annotate(events.join('\n'))
    expect(result).toMatchObject(SOUND)
    expect(result.kills).toBeGreaterThanOrEqual(4)
    expect(result.records).toBeGreaterThan(2000)
    expect(result.windows).toBeGreaterThan(100)
    rmSync(dataDir, { recursive: true, force: true })
  },
)
