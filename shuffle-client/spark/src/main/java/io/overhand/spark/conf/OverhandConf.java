package io.overhand.spark.conf;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

import org.apache.spark.SparkConf;
import scala.Tuple2;

/**
 * Every setting of the plugin, declared once: the reference page is printed from here ({@link ReferencePage}), unknown
 * keys are refused, and all that is wrong is said at once.
 */
public final class OverhandConf {
  /** What all keys begin with. */
  public static final String PREFIX = "spark.overhand.";

  private static final List<ConfEntry<?>> DECLARED = new ArrayList<>();

  /** Where the coordinators are. */
  public static final ConfEntry<List<String>> COORDINATORS =
      declare(
          new ConfEntry<>(
              PREFIX + "coordinators",
              "host:port,...",
              "",
              "The control addresses of the coordinators (`overhand standalone` listens on 127.0.0.1:7337). Any of them"
                  + " will do; several are asked in turn. Required.",
              Values::addresses));

  /** What happens without a coordinator or a worker. */
  public static final ConfEntry<Fallback> FALLBACK =
      declare(
          new ConfEntry<>(
              PREFIX + "fallback",
              "auto or never",
              "auto",
              "What happens to a shuffle that can't be placed, because no coordinator answers or there is no worker."
                  + " `auto`: it goes through Spark's own shuffle on the executors' disks, with one warning, and the"
                  + " next shuffle tries again. `never`: the job fails at once.",
              text -> Values.oneOf(Fallback.class, text)));

  /** How blocks are compressed. */
  public static final ConfEntry<Codec> CODEC =
      declare(
          new ConfEntry<>(
              PREFIX + "compression.codec",
              "lz4, zstd or none",
              "",
              "How shuffle data is compressed. When it isn't set, Spark's own settings decide: `none` if"
                  + " `spark.shuffle.compress` is false, `zstd` if `spark.io.compression.codec` is zstd, `lz4`"
                  + " otherwise. With `lz4` and `zstd`, blocks of numbers are packed by StreamVByte where that"
                  + " makes them about as small, in a tenth of the time, and what does not shrink is stored as it"
                  + " is.",
              text -> Values.oneOf(Codec.class, text)));

  /** How hard ZSTD tries. */
  public static final ConfEntry<Integer> ZSTD_LEVEL =
      declare(
          new ConfEntry<>(
              PREFIX + "compression.zstd.level",
              "1 to 19",
              "1",
              "ZSTD's level; a higher one is slower and smaller.",
              text -> Values.between(text, 1, 19)));

  /** Whose quota pays. */
  public static final ConfEntry<String> TENANT =
      declare(
          new ConfEntry<>(
              PREFIX + "tenant",
              "a name",
              "default",
              "Under which tenant the application is registered.",
              text -> text));

  /** What lets an application register. */
  public static final ConfEntry<String> REGISTRATION_SECRET =
      declare(
          new ConfEntry<>(
              PREFIX + "registration.secret",
              "a text",
              "",
              "Needed where the coordinators are set up with one. Spark redacts the value in its pages and logs.",
              text -> text));

  /** How many workers hold each byte. */
  public static final ConfEntry<Integer> REPLICAS =
      declare(
          new ConfEntry<>(
              PREFIX + "replicas",
              "0 to 3",
              "0",
              "How many workers hold each byte of shuffle data: with 2 or 3, no map task runs again because a worker"
                  + " is lost. 0 takes what the coordinators are set up with.",
              text -> Values.between(text, 0, 3)));

  /** Which workers take the data. */
  public static final ConfEntry<List<String>> TAGS =
      declare(
          new ConfEntry<>(
              PREFIX + "tags",
              "name,...",
              "",
              "Only workers that have all of these tags take the application's data. When it isn't set, any worker"
                  + " does.",
              Values::names));

  /** How long a connection may take. */
  public static final ConfEntry<Long> CONNECT_TIMEOUT =
      declare(
          new ConfEntry<>(
              PREFIX + "connect.timeout",
              "a duration",
              "5s",
              "How long a coordinator or a worker may take to answer a new connection.",
              text -> Values.millis(text, 1)));

  /** How long a worker may say nothing. */
  public static final ConfEntry<Long> SILENCE =
      declare(
          new ConfEntry<>(
              PREFIX + "silence",
              "a duration, at least 2s",
              "10s",
              "How long a worker that owes an answer may say nothing before it is given up, and others of its chain"
                  + " or a new one take over. A worker that is alive says each second that it is busy.",
              text -> Values.millis(text, 2000)));

  /** What one map task may buffer. */
  public static final ConfEntry<Long> WRITER_MEMORY =
      declare(
          new ConfEntry<>(
              PREFIX + "writer.memory",
              "a size, at least 2m",
              "64m",
              "The most memory outside the heap that one map task fills, compresses and sends from. It starts small"
                  + " and grows with what the task writes. With `spark.memory.offHeap.enabled` it is asked from"
                  + " Spark's memory manager; otherwise it is part of `spark.executor.memoryOverhead`.",
              text -> Values.bytes(text, 2L << 20)));

  /** What one reduce task may buffer. */
  public static final ConfEntry<Long> READER_MEMORY =
      declare(
          new ConfEntry<>(
              PREFIX + "reader.memory",
              "a size, at least 2m",
              "32m",
              "The most memory outside the heap that one shuffle read of a reduce task fetches ahead into. It is"
                  + " accounted like the writer's.",
              text -> Values.bytes(text, 2L << 20)));

  /** Threads that compress and send. */
  public static final ConfEntry<Integer> IO_THREADS =
      declare(
          new ConfEntry<>(
              PREFIX + "io.threads",
              "0 to 256",
              "0",
              "Threads of an executor that compress, send and receive; 0 takes one for each of the executor's cores.",
              text -> Values.between(text, 0, 256)));

  /** Whether SQL's exchanges become Overhand's own. */
  public static final ConfEntry<Boolean> SQL_EXCHANGE =
      declare(
          new ConfEntry<>(
              PREFIX + "sql.exchange",
              "true or false",
              "true",
              "Whether SQL's exchanges are replaced by ones that send reduce tasks only what they need, which makes each"
                  + " task cheaper, most of all where there are many. `false` leaves plans as Spark makes them, should"
                  + " another extension need that.",
              Values::trueOrFalse));

  private final List<String> coordinators;
  private final Fallback fallback;
  private final Codec codec;
  private final int zstdLevel;
  private final String tenant;
  private final String registrationSecret;
  private final int replicas;
  private final List<String> tags;
  private final long connectTimeoutMillis;
  private final long silenceMillis;
  private final long writerMemory;
  private final long readerMemory;
  private final int ioThreads;
  private final boolean sqlExchange;

  /**
   * Reads and checks all settings.
   *
   * @throws IllegalArgumentException that names everything that is wrong
   */
  public OverhandConf(SparkConf conf) {
    List<String> problems = new ArrayList<>();
    refuseUnknown(conf, problems);
    coordinators = read(conf, COORDINATORS, problems);
    if (coordinators != null && coordinators.isEmpty()) {
      problems.add(
          COORDINATORS.key() + " is not set: give the coordinators' addresses (host:port,...), for example"
              + " 127.0.0.1:7337 for `overhand standalone` on this machine");
    }
    fallback = read(conf, FALLBACK, problems);
    codec = conf.contains(CODEC.key()) ? read(conf, CODEC, problems) : codecOfSpark(conf);
    zstdLevel = orZero(read(conf, ZSTD_LEVEL, problems));
    tenant = read(conf, TENANT, problems);
    registrationSecret = read(conf, REGISTRATION_SECRET, problems);
    replicas = orZero(read(conf, REPLICAS, problems));
    tags = read(conf, TAGS, problems);
    connectTimeoutMillis = orZero(read(conf, CONNECT_TIMEOUT, problems));
    silenceMillis = orZero(read(conf, SILENCE, problems));
    writerMemory = orZero(read(conf, WRITER_MEMORY, problems));
    readerMemory = orZero(read(conf, READER_MEMORY, problems));
    ioThreads = orZero(read(conf, IO_THREADS, problems));
    sqlExchange = Boolean.TRUE.equals(read(conf, SQL_EXCHANGE, problems));
    if (!problems.isEmpty()) {
      throw new IllegalArgumentException("Overhand's settings are wrong: " + String.join("; ", problems));
    }
  }

  /** All settings in the order of the reference page. */
  public static List<ConfEntry<?>> declared() {
    return Collections.unmodifiableList(DECLARED);
  }

  /** host:port of each coordinator; at least one. */
  public List<String> coordinators() {
    return coordinators;
  }

  /** What happens without a coordinator or a worker. */
  public Fallback fallback() {
    return fallback;
  }

  /** How blocks are compressed. */
  public Codec codec() {
    return codec;
  }

  /** ZSTD's level. */
  public int zstdLevel() {
    return zstdLevel;
  }

  /** The tenant. */
  public String tenant() {
    return tenant;
  }

  /** The registration secret; empty where there is none. */
  public String registrationSecret() {
    return registrationSecret;
  }

  /** How many workers hold each byte; 0 for what the coordinators say. */
  public int replicas() {
    return replicas;
  }

  /** What every worker that takes the data must have; empty for any worker. */
  public List<String> tags() {
    return tags;
  }

  /** How long a new connection may take. */
  public long connectTimeoutMillis() {
    return connectTimeoutMillis;
  }

  /** How long a worker that owes an answer may say nothing. */
  public long silenceMillis() {
    return silenceMillis;
  }

  /** Bytes that one map task may buffer. */
  public long writerMemory() {
    return writerMemory;
  }

  /** Bytes that one shuffle read may buffer. */
  public long readerMemory() {
    return readerMemory;
  }

  /** Threads of an executor that compress, send and receive; 0 for one per core. */
  public int ioThreads() {
    return ioThreads;
  }

  /** Whether SQL's exchanges become Overhand's own. */
  public boolean sqlExchange() {
    return sqlExchange;
  }

  private static <T> ConfEntry<T> declare(ConfEntry<T> entry) {
    DECLARED.add(entry);
    return entry;
  }

  private static void refuseUnknown(SparkConf conf, List<String> problems) {
    List<String> known = DECLARED.stream().map(ConfEntry::key).collect(Collectors.toList());
    for (Tuple2<String, String> setting : conf.getAll()) {
      String key = setting._1();
      if (key.startsWith(PREFIX) && !known.contains(key)) {
        problems.add("there is no setting " + key + "; did you mean " + Values.nearest(key, known) + "?");
      }
    }
    Collections.sort(problems);
  }

  private static <T> T read(SparkConf conf, ConfEntry<T> entry, List<String> problems) {
    try {
      return entry.parse(conf.get(entry.key(), entry.defaultText()));
    } catch (IllegalArgumentException e) {
      problems.add(e.getMessage());
      return null;
    }
  }

  private static int orZero(Integer value) {
    return value == null ? 0 : value;
  }

  private static long orZero(Long value) {
    return value == null ? 0 : value;
  }

  private static Codec codecOfSpark(SparkConf conf) {
    if (!conf.getBoolean("spark.shuffle.compress", true)) {
      return Codec.NONE;
    }
    List<String> zstd = Arrays.asList("zstd", "org.apache.spark.io.zstdcompressioncodec");
    return zstd.contains(conf.get("spark.io.compression.codec", "lz4").toLowerCase(Locale.ROOT))
        ? Codec.ZSTD
        : Codec.LZ4;
  }
}
