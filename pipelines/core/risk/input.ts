import type { Calibration } from './calibration.ts'
import type { Side } from './crossing.ts'
import type { AnomalyEvidence, EventEvidence } from './evidence.ts'
import type { Draws } from './horizon.ts'

/** All that bears on one limit of one series. */
export interface RiskInput {
  readonly entity: string
  readonly issuedAtMs: number
  readonly stepMs: number
  /** Steps ahead to look at. */
  readonly steps: number
  /** Six quantiles per step (core/forecasting); NaN if there is no forecast. */
  readonly quantiles: ArrayLike<number>
  readonly limit: number
  readonly side: Side
  /** Last value seen; drivers then say what is level and what is trend. */
  readonly last?: number
  /** Unit for the words, `B/s`. */
  readonly unit?: string
  readonly draws?: Draws
  readonly anomaly?: AnomalyEvidence
  readonly events?: readonly EventEvidence[]
  readonly calibration?: Calibration
}
