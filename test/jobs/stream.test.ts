import { expect, test } from 'vitest'
import { progressLine } from '../../jobs/stream.ts'

test('progress says for each part what went in and out, and what was not taken only where there was any', () => {
  const features = { recordsIn: 703, recordsOut: 854, late: 2, deadLetters: 1 }
  const forecasts = { recordsIn: 8, recordsOut: 1070, late: 0, deadLetters: 0 }
  expect(progressLine({ features, forecasts })).toBe(
    'features 703 in, 854 out (2 late, 1 dead letters); forecasts 8 in, 1070 out',
  )
})
