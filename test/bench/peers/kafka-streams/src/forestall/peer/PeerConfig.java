package forestall.peer;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.InputStream;
import java.util.List;
import java.util.Map;

/** What to run: read as JSON from standard input. Times in ms. */
record PeerConfig(
    String bootstrapBrokers,
    String applicationId,
    /** Static membership: a restart keeps its tasks. Empty: none. */
    String instanceId,
    /** exactly_once_v2 or at_least_once. */
    String guarantee,
    int threads,
    /** rocksdb or memory. */
    String store,
    int cacheMb,
    int commitMs,
    /** suppress: final rows through the suppression buffer; window-close: final rows by the emit strategy. */
    String results,
    String stateDir,
    int sessionTimeoutMs,
    int maxPollRecords,
    /** Ends once the offsets that are the ends at the start have been committed; else it runs until it is killed. */
    boolean untilEnd,
    /** Share of the records that must have been committed before the second clock starts. */
    double warmupShare,
    int giveUpAfterMs,
    List<Lane> lanes) {

  /** One input topic, its windows and its output topic. */
  record Lane(
      String name,
      String input,
      String inputSchema,
      String eventTime,
      String value,
      String output,
      String outputSchema,
      int outputSchemaId,
      /** Output field to what it holds: key, start, end, count, sum, squares, min or max. */
      Map<String, String> roles,
      long sizeMs,
      long advanceMs,
      long graceMs) {}

  static PeerConfig read(InputStream in) throws java.io.IOException {
    return new ObjectMapper().readValue(in.readAllBytes(), PeerConfig.class);
  }
}
