import { expect, test } from 'vitest'
import { createLife } from '#infra/clickhouse'
import { createLives } from '../../../infra/query-router/lives.ts'

/** A table of names that `restart` empties. */
function world() {
  let names: string[] = []
  const life = createLife({
    async command(sql) {
      const [, name] = /SELECT '(.*)'/.exec(sql) ?? []
      if (name !== undefined) names.push(name)
    },
    value: async () => names.toSorted()[0] ?? '',
  })
  return {
    lives: createLives(life),
    restart: () => {
      names = []
    },
  }
}

test('the life is read anew after an insert whose end is not known, and none is settled until its repeat has ended', async () => {
  const { lives, restart } = world()
  const first = await lives.settled()
  expect(first).toMatch(/./)
  const lost = lives.begin('block 1')
  restart()
  lost(false)
  expect(lives.isDoubtful('block 1')).toBe(true)
  expect(await lives.settled()).toBe('')
  lives.begin('block 1')(true)
  const second = await lives.settled()
  expect(second).toMatch(/./)
  expect(second).not.toBe(first)
})

test('an insert that is under way since before the life was read keeps it from being settled', async () => {
  const { lives } = world()
  const end = lives.begin('block 1')
  expect(await lives.settled()).toBe('')
  end(true)
  const settled = await lives.settled()
  expect(settled).toMatch(/./)
  lives.begin('block 2')
  expect(await lives.settled(), 'it began in this life').toBe(settled)
})
