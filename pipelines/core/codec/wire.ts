import type { Buffer } from 'node:buffer'

/** Bytes before the Avro body in Confluent's wire format: magic 0 and the schema id, big-endian. */
export const WIRE_HEADER_BYTES = 5

/** The schema id of a value in Confluent's wire format; -1 if it is too short or does not begin with the magic byte. */
export function wireSchemaId(buffer: Buffer, start: number, end: number): number {
  if (end - start < WIRE_HEADER_BYTES || buffer[start] !== 0) return -1
  // By hand: the method of Buffer checks its argument again, for every record.
  return (
    (((buffer[start + 1] as number) << 24) |
      ((buffer[start + 2] as number) << 16) |
      ((buffer[start + 3] as number) << 8) |
      (buffer[start + 4] as number)) >>>
    0
  )
}

/** Writes the header of the wire format at `at`; the body follows at `at + WIRE_HEADER_BYTES`. */
export function writeWireHeader(buffer: Buffer, at: number, schemaId: number): void {
  buffer[at] = 0
  buffer.writeUInt32BE(schemaId, at + 1)
}
