/** Rows for one table in ClickHouse's RowBinary, and the means to query. */
export interface Warehouse {
  /** Runs a statement that returns nothing (DDL). */
  command(sql: string, params?: Record<string, unknown>): Promise<void>
  /** Rows of a query; values of `params` are bound as `{name:Type}`, never pasted into the text. */
  query<Row>(sql: string, params?: Record<string, unknown>): Promise<Row[]>
  /**
   * Inserts RowBinary bytes; resolves once they are durable. `token` (`insert_deduplication_token`) makes a repeat of
   * the same block a no-op until ClickHouse is restarted; after that the block is inserted once more, because its memory
   * of tokens is no proof of the rows. Tables must collapse such rows, as those of `createTableSql` do.
   */
  insertRowBinary(
    table: string,
    columns: readonly string[],
    rows: Uint8Array,
    options?: { token?: string },
  ): Promise<void>
  close(): Promise<void>
}
