package forestall.peer;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Aggregates of one key in one window. */
record Totals(double count, double sum, double squares, double min, double max) {
  static final Totals NONE = new Totals(0, 0, 0, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY);
  private static final int BYTES = 40;

  static final Serde<Totals> SERDE = Serdes.serdeFrom(
      (topic, t) -> t == null ? null : t.bytes(),
      (topic, bytes) -> bytes == null ? null : of(ByteBuffer.wrap(bytes)));

  Totals with(double x) {
    return new Totals(count + 1, sum + x, squares + x * x, Math.min(min, x), Math.max(max, x));
  }

  private byte[] bytes() {
    return ByteBuffer.allocate(BYTES).putDouble(count).putDouble(sum).putDouble(squares).putDouble(min).putDouble(max).array();
  }

  private static Totals of(ByteBuffer from) {
    return new Totals(from.getDouble(), from.getDouble(), from.getDouble(), from.getDouble(), from.getDouble());
  }
}
