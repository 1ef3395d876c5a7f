import { InvalidArgumentError, Option } from 'commander'
import { ForestallError } from '#core/ports'
import type { Retention } from '#core/warehouse'

const DAYS = { short: 90, long: 400 } as const
const MOST_DAYS = 36_500

/** Days of `90d`; `0`: for ever. Throws commander's InvalidArgumentError. */
function parseDays(text: string): number {
  const days = text.trim() === '0' ? 0 : Number(/^(\d+)d$/.exec(text.trim())?.[1] ?? Number.NaN)
  if (days >= 0 && days <= MOST_DAYS) return days
  throw new InvalidArgumentError('Write whole days such as 90d, or 0 to keep rows for ever.')
}

/** The options that say how long rows are kept in ClickHouse. */
export const retentionOptions = (): Option[] => [
  new Option(
    '--retention <days>',
    `how long ClickHouse keeps features, forecasts, scenarios, risks and the audit, 0: for ever (default: ${DAYS.short}d for new tables; others are left as they are)`,
  ).argParser(parseDays),
  new Option(
    '--retention-decisions <days>',
    `the same for decisions, acknowledgements, moves and dead letters (default: ${DAYS.long}d for new tables)`,
  ).argParser(parseDays),
]

/** Days that the user has asked for; undefined: nothing was said. */
export interface RetentionArgs {
  readonly retention?: number
  readonly retentionDecisions?: number
}

/**
 * The retention of the database of a prefix. The tables of a replay have none: its event time may be of any year, and
 * a TTL would delete its rows as they arrive. Throws CONFIG_INVALID if one is asked for all the same.
 */
export function retentionOf(
  { retention, retentionDecisions }: RetentionArgs,
  prefix: string,
): Retention | undefined {
  const isAsked = retention !== undefined || retentionDecisions !== undefined
  if (prefix !== '') {
    if (!isAsked) return undefined
    throw new ForestallError('CONFIG_INVALID', `The rows of the replay ${prefix} are kept for ever.`, {
      cure: 'Leave --retention and --retention-decisions out; drop its database when you are done with it.',
    })
  }
  return {
    days: { short: retention ?? DAYS.short, long: retentionDecisions ?? DAYS.long },
    alters: { short: retention !== undefined, long: retentionDecisions !== undefined },
  }
}
