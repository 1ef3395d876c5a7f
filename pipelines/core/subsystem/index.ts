export * from './series.ts'
export { seriesProcessor } from './series-forecasts.ts'
export * from './subsystem.ts'
export * from './yardsticks.ts'
