export * from './scaler.ts'
