import { describe, expect, test } from 'vitest'
import { chooseHorizon } from '../../../infra/web/queries/series.ts'
import { ROUTES_TOPIC, SHARDS_TOPIC } from '../../../infra/web/queries/standing.ts'
import { regionShares } from '../../../infra/web/queries/streams.ts'
import { changeInWords } from '../../../infra/web/queries/words.ts'
import { routeBody, shardBody } from './page-data.ts'

const routes = (now: number[], before?: number[]): string =>
  changeInWords(ROUTES_TOPIC, text(routeBody('s', now)), before ? text(routeBody('s', before)) : '', 'id')
const shards = (now: number, before?: number): string =>
  changeInWords(SHARDS_TOPIC, text(shardBody('s', now)), before ? text(shardBody('s', before)) : '', 'id')
const text = (body: object): string => JSON.stringify(body)

describe('a decision in words', () => {
  test('routes: the first says the shares, a later one what moved, largest move first', () => {
    expect(routes([0.75, 0.25])).toBe('ams 75 % · fra 25 %')
    expect(routes([0.5, 0.3, 0.2], [0.75, 0.25])).toBe('ams 75 % → 50 % · lhr 0 % → 20 % · fra 25 % → 30 %')
    expect(routes([1], [0.4, 0.6])).toBe('fra 60 % → 0 % · ams 40 % → 100 %')
    expect(routes([0.5, 0.5], [0.5, 0.5])).toBe('same regions, other paths or shards')
  })

  test('shards: how many', () => {
    expect(shards(0)).toBe('cut into 1 shard')
    expect(shards(3, 2)).toBe('4 → 8 shards')
    expect(shards(2, 2)).toBe('4 shards, cut or ranked otherwise')
  })

  test('other kinds have no words; a body that is not JSON is named', () => {
    expect(changeInWords('decisions.other', '{}', '', 'id')).toBe('')
    expect(() => changeInWords(ROUTES_TOPIC, '{', '', 'id-7')).toThrow(/id-7/)
  })
})

test('paths of one region add up', () => {
  const paths = [
    { region: 'a', weight: 0.2 },
    { region: 'b', weight: 0.5 },
    { region: 'a', weight: 0.3 },
  ]
  expect(regionShares(paths)).toEqual([
    { region: 'a', weight: 0.5 },
    { region: 'b', weight: 0.5 },
  ])
})

test('the horizon is the nearest to the one wanted, else the one in the middle', () => {
  expect(chooseHorizon([])).toBe(0)
  expect(chooseHorizon([10, 20, 30, 40])).toBe(20)
  expect(chooseHorizon([10, 20, 30], 29)).toBe(30)
})
