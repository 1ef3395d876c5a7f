export { startKafka, type KafkaProcess, type KafkaProcessOptions } from './kafka-process.ts'
