import { z } from 'zod'
import { ForestallError } from '#core/ports'

const MINUTE_MS = 60_000
const WEEK_MS = 7 * 86_400_000

/** A whole number in digits only: `1e9`, ` 7`, `07` and `0x10` are refused. */
const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^(?:0|[1-9]\d{0,14})$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))

const hasControls = (text: string): boolean => /\p{Cc}/u.test(text)
const name = z
  .string()
  .min(1)
  .max(200)
  .refine((text) => !hasControls(text), 'must not hold control characters')

/** No parameters at all. */
export const NoParams = z.strictObject({})
/** Which stream. */
export const StreamParams = z.strictObject({ stream: name })
/** Which stream, how far back, and the horizon whose forecasts are drawn (the nearest there is). */
export const SeriesParams = z.strictObject({
  stream: name,
  spanMs: whole(MINUTE_MS, WEEK_MS).default(30 * MINUTE_MS),
  horizonMs: whole(1, WEEK_MS).optional(),
})
/** How many rows. */
export const ListParams = z.strictObject({ limit: whole(1, 500).default(200) })
/** How many decisions, of which stream, and whether those that only renew another count. */
export const DecisionsParams = z.strictObject({
  limit: whole(1, 200).default(50),
  stream: name.optional(),
  renewals: z
    .enum(['0', '1'])
    .default('0')
    .transform((text) => text === '1'),
})
/** Which decision. */
export const DecisionParams = z.strictObject({ id: name })

/** Checks the parameters of a request. Throws REQUEST_INVALID with the name of the parameter. */
export function parseParams<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const where = issue?.path.join('.') || 'parameters'
  throw new ForestallError('REQUEST_INVALID', `${where}: ${issue?.message ?? 'unreadable'}`)
}
