import { describe, expect, it } from 'vitest'
import type { Ack, RouteBody } from '#schemas'
import { createFollower } from '#core/dataplane'
import { type Decision, type DecisionSource, type DecisionSourceHandler, manualClock } from '#core/ports'
import { createRouteApplier, createRouteTable } from '../../../pipelines/traffic-routing/sdk/index.ts'

const NOW = 1_700_000_000_000

function decision(id: string, path: string, change: Partial<Decision<RouteBody>> = {}): Decision<RouteBody> {
  return {
    decision_id: id,
    subsystem: 'traffic-routing',
    entity: 'a>b',
    epoch: NOW,
    issued_at_ms: NOW,
    not_before_ms: NOW,
    expires_at_ms: NOW + 60_000,
    mode: 'apply',
    canary_share: 1,
    replay_id: '',
    reason: { risk: 0.5, drivers: [], q10: 1, q50: 2, q90: 3, cost_now: 1, cost_after: 0 },
    inputs: [],
    model_version: 'm',
    policy_version: 'p',
    supersedes: null,
    body: {
      stream: 'a>b',
      paths: [{ path_id: path, region: 'eu', weight: 1 }],
      assignments: [],
      region_owner: '',
    },
    ...change,
  }
}

/** A follower of a topic that is fed by hand. */
async function followed() {
  const table = createRouteTable({ defaultRoute: { region: 'home', path: 'home#0' } })
  let handler: DecisionSourceHandler<RouteBody> | undefined
  const source: DecisionSource<RouteBody> = {
    topic: 'decisions.traffic.routes',
    start: (given) => {
      handler = given
    },
    stop: () => Promise.resolve(),
    lag: () => 0,
  }
  const acks: Ack[] = []
  const follower = createFollower<RouteBody>({
    id: 'sdk-1',
    source,
    clock: manualClock(NOW),
    sendAck: (ack) => {
      acks.push(ack)
    },
    ...createRouteApplier(table),
  })
  await follower.start()
  await handler?.onCaughtUp(new Map([[0, 0]]))
  const send = async (sent: Decision<RouteBody> | null, offset: number) => {
    await handler!.onDecision({ entity: 'a>b', decision: sent, partition: 0, offset, timestampMs: NOW })
    await follower.settled()
  }
  return { table, acks, follower, send }
}

describe('route applier', () => {
  it('brings decisions of a follower into force, and takes a tombstone as the way back to the default', async () => {
    const { table, acks, follower, send } = await followed()
    await send(decision('d1', 'eu#1'), 0)
    expect(table.route('a>b', 5)).toMatchObject({ path: 'eu#1', decisionId: 'd1' })
    expect(acks.at(-1)).toMatchObject({
      state: 'applied',
      observed: { shards: '0', paths: '1', changed_ring: '1.000000' },
    })
    await send(null, 1)
    expect(table.route('a>b', 5).path).toBe('home#0')
    await follower.stop()
  })

  it('applies neither a dry run nor a decision that belongs to another stream', async () => {
    const { table, acks, follower, send } = await followed()
    await send(decision('d1', 'eu#1', { mode: 'dry_run' }), 0)
    expect(acks.at(-1)?.observed).toMatchObject({ changed_ring: '1.000000' })
    await send(decision('d2', 'eu#1', { body: { ...decision('d2', 'eu#1').body, stream: 'c>d' } }), 1)
    expect(acks.at(-1)).toMatchObject({ decision_id: 'd2', state: 'rejected' })
    expect(table.route('a>b', 5).path).toBe('home#0')
    await follower.stop()
  })
})
