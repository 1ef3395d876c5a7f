package forestall.peer;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** How far the group has committed, and what that took. */
final class Progress {
  /** A moment: wall clock and CPU time of this process, ns, and records committed. */
  record Moment(long wallNs, long cpuNs, long records) {}

  private final Admin admin;
  private final String group;
  private final Map<TopicPartition, Long> ends = new HashMap<>();
  final long total;

  Progress(Admin admin, String group, List<String> topics) throws ExecutionException, InterruptedException {
    this.admin = admin;
    this.group = group;
    Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
    for (TopicDescription topic : admin.describeTopics(topics).allTopicNames().get().values())
      topic.partitions().forEach(p -> latest.put(new TopicPartition(topic.name(), p.partition()), OffsetSpec.latest()));
    admin.listOffsets(latest).all().get().forEach((partition, info) -> ends.put(partition, info.offset()));
    total = ends.values().stream().mapToLong(Long::longValue).sum();
  }

  static Moment now(long records) {
    return new Moment(System.nanoTime(), cpuNs(), records);
  }

  private static long cpuNs() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  /** Records below the committed offsets: what a restart would keep. */
  long committed() throws InterruptedException {
    try {
      Map<TopicPartition, OffsetAndMetadata> offsets =
          admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
      long done = 0;
      for (Map.Entry<TopicPartition, Long> end : ends.entrySet()) {
        OffsetAndMetadata at = offsets.get(end.getKey());
        if (at != null) done += Math.min(at.offset(), end.getValue());
      }
      return done;
    } catch (ExecutionException e) {
      return 0; // the group does not exist yet
    }
  }
}
