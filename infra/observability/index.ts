export { type Collect, createExposition, type Exposition, type Sample } from './exposition.ts'
export { type MetricsServer, startMetricsServer } from './server.ts'
export { createHistogram, type HistogramCounts } from './histogram.ts'
