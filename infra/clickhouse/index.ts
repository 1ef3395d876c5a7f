export { createLife, type Life } from './life.ts'
export { type ClickHouseOptions, type ClickHouseProcess, startClickHouse } from './process.ts'
export { createWarehouse, ensureDatabase, type WarehouseOptions } from './warehouse.ts'
