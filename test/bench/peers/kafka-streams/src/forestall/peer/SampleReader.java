package forestall.peer;

import java.io.IOException;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Reads two fields of an Avro value in Confluent's wire format (magic 0, schema id, body), without a generic record:
 * Avro's decoder walks the body by the writer schema and skips every other field, to the last byte.
 */
final class SampleReader implements Deserializer<Sample> {
  private static final int HEADER_BYTES = 5;

  private enum Step { TIME_LONG, VALUE_DOUBLE, VALUE_LONG, VALUE_INT, SKIP_STRING, SKIP_BYTES, SKIP_LONG, SKIP_INT, SKIP_DOUBLE, SKIP_FLOAT, SKIP_BOOLEAN }

  private final Step[] steps;
  private final ThreadLocal<BinaryDecoder> decoders = new ThreadLocal<>();
  /** Set by the first record: nanoTime and the CPU time of the process at that moment. */
  private final Runnable onFirst;
  private volatile boolean begun;

  SampleReader(String schemaText, String eventTime, String value, Runnable onFirst) {
    this.onFirst = onFirst;
    Schema schema = new Schema.Parser().parse(schemaText);
    for (String name : new String[] {eventTime, value})
      if (schema.getField(name) == null) throw new IllegalArgumentException("no field " + name + " in " + schema.getName());
    steps = schema.getFields().stream().map(f -> step(f, eventTime, value)).toArray(Step[]::new);
  }

  private static Step step(Schema.Field field, String eventTime, String value) {
    boolean isTime = field.name().equals(eventTime);
    boolean isValue = field.name().equals(value);
    return switch (field.schema().getType()) {
      case LONG -> isTime ? Step.TIME_LONG : isValue ? Step.VALUE_LONG : Step.SKIP_LONG;
      case INT -> isValue ? Step.VALUE_INT : Step.SKIP_INT;
      case DOUBLE -> isValue ? Step.VALUE_DOUBLE : Step.SKIP_DOUBLE;
      case FLOAT -> Step.SKIP_FLOAT;
      case BOOLEAN -> Step.SKIP_BOOLEAN;
      case STRING -> Step.SKIP_STRING;
      case BYTES -> Step.SKIP_BYTES;
      default -> throw new IllegalArgumentException("field " + field.name() + " of type " + field.schema().getType());
    };
  }

  @Override
  public Sample deserialize(String topic, byte[] data) {
    if (data == null) return null;
    if (!begun) begin();
    if (data.length < HEADER_BYTES || data[0] != 0) throw new SerializationException("no wire header in " + topic);
    try {
      return read(data);
    } catch (IOException e) {
      throw new SerializationException("undecodable value in " + topic, e);
    }
  }

  private Sample read(byte[] data) throws IOException {
    BinaryDecoder in = DecoderFactory.get().binaryDecoder(data, HEADER_BYTES, data.length - HEADER_BYTES, decoders.get());
    decoders.set(in);
    long timeMs = 0;
    double value = 0;
    for (Step step : steps) {
      switch (step) {
        case TIME_LONG -> timeMs = in.readLong();
        case VALUE_DOUBLE -> value = in.readDouble();
        case VALUE_LONG -> value = in.readLong();
        case VALUE_INT -> value = in.readInt();
        case SKIP_STRING -> in.skipString();
        case SKIP_BYTES -> in.skipBytes();
        case SKIP_LONG -> in.readLong();
        case SKIP_INT -> in.readInt();
        case SKIP_DOUBLE -> in.readDouble();
        case SKIP_FLOAT -> in.readFloat();
        case SKIP_BOOLEAN -> in.readBoolean();
      }
    }
    return new Sample(timeMs, value);
  }

  private synchronized void begin() {
    if (begun) return;
    begun = true;
    onFirst.run();
  }
}
