import { Command } from 'commander'
import { expect, test } from 'vitest'
import { databaseOf } from '../../jobs/connect.ts'
import { type RetentionArgs, retentionOf, retentionOptions } from '../../jobs/retention.ts'

function parse(...args: string[]): RetentionArgs {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined })
  for (const option of retentionOptions()) command.addOption(option)
  return command.parse(args, { from: 'user' }).opts()
}

test('tables that exist change only if days are asked for, each kind for itself', () => {
  expect(retentionOf(parse(), '')).toEqual({
    days: { short: 90, long: 400 },
    alters: { short: false, long: false },
  })
  expect(retentionOf(parse('--retention', '30d'), '')).toEqual({
    days: { short: 30, long: 400 },
    alters: { short: true, long: false },
  })
  expect(retentionOf(parse('--retention-decisions', '0'), '')).toEqual({
    days: { short: 90, long: 0 },
    alters: { short: false, long: true },
  })
})

test.each(['90', '1.5d', '-1d', '12h', '', '99999d'])('%j is no number of days', (text) => {
  expect(() => parse(`--retention=${text}`)).toThrow('Write whole days such as 90d')
})

test('the rows of a replay are kept, and who asks for days is told', () => {
  expect(retentionOf({}, 'replay-1.')).toBeUndefined()
  expect(() => retentionOf({ retention: 90 }, 'replay-1.')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
})

test('a replay has a database of its own, also where that of live rows is named', () => {
  expect([databaseOf(), databaseOf('', 'net')]).toEqual(['forestall', 'net'])
  expect([databaseOf('monday.'), databaseOf('monday.', 'net')]).toEqual(['forestall_monday', 'net_monday'])
})
