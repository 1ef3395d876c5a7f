package forestall.peer;

import java.time.Duration;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowBytesStoreSupplier;
import org.apache.kafka.streams.state.WindowStore;

/** Event-time windows with grace over keyed records, final results only: one lane per input topic. */
final class WindowTopology {
  private WindowTopology() {}

  static Topology build(PeerConfig config, Runnable onFirstRecord) {
    StreamsBuilder builder = new StreamsBuilder();
    for (PeerConfig.Lane lane : config.lanes()) add(builder, config, lane, onFirstRecord);
    return builder.build();
  }

  private static void add(StreamsBuilder builder, PeerConfig config, PeerConfig.Lane lane, Runnable onFirst) {
    Serde<Sample> samples = Serdes.serdeFrom(
        (topic, sample) -> { throw new UnsupportedOperationException("samples are only read"); },
        new SampleReader(lane.inputSchema(), lane.eventTime(), lane.value(), onFirst));
    boolean onClose = config.results().equals("window-close");
    TimeWindowedKStream<Bytes, Sample> windowed = builder
        .stream(lane.input(), Consumed.with(Serdes.Bytes(), samples)
            .withTimestampExtractor((record, partitionTime) ->
                record.value() instanceof Sample sample ? sample.timeMs() : record.timestamp()))
        .filter((key, sample) -> key != null && sample != null)
        .groupByKey(Grouped.with(Serdes.Bytes(), samples))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(lane.sizeMs()), Duration.ofMillis(lane.graceMs()))
            .advanceBy(Duration.ofMillis(lane.advanceMs())));
    if (onClose) windowed = windowed.emitStrategy(EmitStrategy.onWindowClose());
    KTable<Windowed<Bytes>, Totals> table = windowed.aggregate(
        () -> Totals.NONE, (key, sample, totals) -> totals.with(sample.value()), store(config, lane));
    if (!onClose) table = table.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
    table.toStream()
        .map((w, totals) -> KeyValue.pair(w.key(), new Row(w.key().get(), w.window().start(), w.window().end(), totals)))
        .to(lane.output(), Produced.with(Serdes.Bytes(),
            Serdes.serdeFrom(new RowWriter(lane.outputSchema(), lane.outputSchemaId(), lane.roles()), ROWS_ARE_WRITTEN)));
  }

  private static final Deserializer<Row> ROWS_ARE_WRITTEN = (topic, bytes) -> {
    throw new UnsupportedOperationException("rows are only written");
  };

  private static Materialized<Bytes, Totals, WindowStore<Bytes, byte[]>> store(
      PeerConfig config, PeerConfig.Lane lane) {
    Duration size = Duration.ofMillis(lane.sizeMs());
    Duration kept = Duration.ofMillis(2 * (lane.sizeMs() + lane.graceMs()));
    String name = "windows-" + lane.name();
    WindowBytesStoreSupplier supplier = config.store().equals("memory")
        ? Stores.inMemoryWindowStore(name, kept, size, false)
        : Stores.persistentWindowStore(name, kept, size, false);
    Materialized<Bytes, Totals, WindowStore<Bytes, byte[]>> store =
        Materialized.<Bytes, Totals>as(supplier).withKeySerde(Serdes.Bytes()).withValueSerde(Totals.SERDE);
    return config.cacheMb() > 0 ? store.withCachingEnabled() : store.withCachingDisabled();
  }
}
