package forestall.peer;

import java.time.Duration;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** Runs the windows of a configuration on Kafka Streams; says what happens in JSON lines on standard output. */
public final class Peer {
  private static final int POLL_MS = 20;

  private Peer() {}

  public static void main(String[] args) throws Exception {
    PeerConfig config = PeerConfig.read(System.in);
    AtomicReference<Progress.Moment> first = new AtomicReference<>();
    KafkaStreams streams = new KafkaStreams(
        WindowTopology.build(config, () -> {
          first.set(Progress.now(0));
          say("first-record", "");
        }),
        properties(config));
    AtomicReference<Throwable> failure = new AtomicReference<>();
    CountDownLatch failed = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(e -> {
      failure.set(e);
      failed.countDown();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.setGlobalStateRestoreListener(new Restores());
    streams.setStateListener((now, before) -> say("state", ",\"state\":\"" + now + "\""));
    try (Admin admin = Admin.create(clientProperties(config))) {
      Progress progress = new Progress(admin, config.applicationId(), config.lanes().stream().map(PeerConfig.Lane::input).toList());
      streams.start();
      boolean done = config.untilEnd() ? watch(config, progress, first, failed) : waitForEnd(failed);
      if (failure.get() != null) failure.get().printStackTrace();
      streams.close(Duration.ofSeconds(20));
      System.exit(done ? 0 : 1);
    }
  }

  private static boolean waitForEnd(CountDownLatch failed) throws InterruptedException {
    failed.await();
    return false;
  }

  /** Waits until everything is committed and prints the result; false if it failed or took too long. */
  private static boolean watch(
      PeerConfig config, Progress progress, AtomicReference<Progress.Moment> first, CountDownLatch failed)
      throws InterruptedException {
    long giveUp = System.nanoTime() + config.giveUpAfterMs() * 1_000_000L;
    Progress.Moment warm = null;
    while (System.nanoTime() < giveUp) {
      if (failed.await(POLL_MS, TimeUnit.MILLISECONDS)) return false;
      Progress.Moment now = Progress.now(progress.committed());
      if (warm == null && now.records() > config.warmupShare() * progress.total) warm = now;
      if (now.records() < progress.total) continue;
      print(first.get(), warm, now);
      return true;
    }
    System.err.println("gave up at " + progress.committed() + " of " + progress.total + " records");
    return false;
  }

  private static void print(Progress.Moment first, Progress.Moment warm, Progress.Moment end) {
    say("result", String.format(Locale.ROOT, ",\"records\":%d,%s,\"warm\":{\"records\":%d,%s}",
        end.records(), spent(first, end), end.records() - warm.records(), spent(warm, end)));
  }

  private static String spent(Progress.Moment from, Progress.Moment to) {
    return String.format(Locale.ROOT, "\"seconds\":%.4f,\"cpuSeconds\":%.4f",
        (to.wallNs() - from.wallNs()) / 1e9, (to.cpuNs() - from.cpuNs()) / 1e9);
  }

  private static synchronized void say(String event, String more) {
    System.out.println("{\"event\":\"" + event + "\",\"atMs\":" + System.currentTimeMillis() + more + "}");
    System.out.flush();
  }

  private static Properties clientProperties(PeerConfig config) {
    Properties p = new Properties();
    p.put("bootstrap.servers", config.bootstrapBrokers());
    return p;
  }

  private static Properties properties(PeerConfig config) {
    Properties p = clientProperties(config);
    p.put("application.id", config.applicationId());
    p.put("processing.guarantee", config.guarantee());
    p.put("num.stream.threads", config.threads());
    p.put("state.dir", config.stateDir());
    p.put("replication.factor", 1);
    p.put("commit.interval.ms", config.commitMs());
    // Final results at every chance: with the default of one second, what closes in the last second of an input never comes out.
    p.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
    p.put("statestore.cache.max.bytes", config.cacheMb() * 1024L * 1024L);
    p.put("auto.offset.reset", "earliest");
    p.put("consumer.max.poll.records", config.maxPollRecords());
    p.put("consumer.session.timeout.ms", config.sessionTimeoutMs());
    if (!config.instanceId().isEmpty()) p.put("consumer.group.instance.id", config.instanceId());
    p.put("producer.linger.ms", 20);
    p.put("producer.batch.size", 65_536);
    p.put("producer.compression.type", "lz4");
    return p;
  }

  /** Tells when state comes back from the changelogs. */
  private static final class Restores implements StateRestoreListener {
    @Override
    public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
      say("restore-start", ",\"store\":\"" + store + "\",\"records\":" + (to - from));
    }

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long at, long records) {}

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long records) {
      say("restore-end", ",\"store\":\"" + store + "\",\"records\":" + records);
    }
  }
}
