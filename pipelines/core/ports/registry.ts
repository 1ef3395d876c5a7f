/** Schemas by id, in Confluent's wire format (magic byte 0, 4-byte id big-endian, Avro body). */
export interface SchemaRegistry {
  /** Registers under `subject`; the same schema again gives the same id. Throws SCHEMA_INCOMPATIBLE. */
  register(subject: string, avroSchemaJson: string): Promise<number>
  /** The writer schema of an id, as JSON text. Throws RECORD_SCHEMA_UNKNOWN. */
  schemaById(id: number): Promise<string>
}
