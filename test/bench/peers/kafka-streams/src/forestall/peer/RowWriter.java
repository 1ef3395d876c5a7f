package forestall.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Serializer;

/** Writes rows as Avro in Confluent's wire format, field by field; fields without a role get the zero of their type. */
final class RowWriter implements Serializer<Row> {
  private interface Field { void write(Row row, BinaryEncoder out) throws IOException; }

  private interface Number { double of(Row row); }

  private static final class Scratch {
    final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
    final BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
  }

  private final byte[] header;
  private final Field[] fields;
  private final ThreadLocal<Scratch> scratches = ThreadLocal.withInitial(Scratch::new);

  RowWriter(String schemaText, int schemaId, Map<String, String> roles) {
    header = ByteBuffer.allocate(5).put((byte) 0).putInt(schemaId).array();
    Schema schema = new Schema.Parser().parse(schemaText);
    fields = schema.getFields().stream().map(f -> field(f, roles.get(f.name()))).toArray(Field[]::new);
  }

  private static Field field(Schema.Field field, String role) {
    Number number = number(role);
    return switch (field.schema().getType()) {
      case STRING -> (row, out) -> out.writeBytes(role == null ? EMPTY : row.key());
      case LONG -> (row, out) -> out.writeLong((long) number.of(row));
      case INT -> (row, out) -> out.writeInt((int) number.of(row));
      case DOUBLE -> (row, out) -> out.writeDouble(number.of(row));
      case BOOLEAN -> (row, out) -> out.writeBoolean(false);
      case ARRAY -> (row, out) -> { out.writeArrayStart(); out.setItemCount(0); out.writeArrayEnd(); };
      default -> throw new IllegalArgumentException("field " + field.name() + " of type " + field.schema().getType());
    };
  }

  private static final byte[] EMPTY = new byte[0];

  private static Number number(String role) {
    if (role == null || role.equals("key")) return row -> 0;
    return switch (role) {
      case "start" -> Row::startMs;
      case "end" -> Row::endMs;
      case "count" -> row -> row.totals().count();
      case "sum" -> row -> row.totals().sum();
      case "squares" -> row -> row.totals().squares();
      case "min" -> row -> row.totals().min();
      case "max" -> row -> row.totals().max();
      default -> throw new IllegalArgumentException("role " + role);
    };
  }

  @Override
  public byte[] serialize(String topic, Row row) {
    Scratch scratch = scratches.get();
    scratch.bytes.reset();
    scratch.bytes.writeBytes(header);
    try {
      for (Field field : fields) field.write(row, scratch.encoder);
      scratch.encoder.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return scratch.bytes.toByteArray();
  }
}
