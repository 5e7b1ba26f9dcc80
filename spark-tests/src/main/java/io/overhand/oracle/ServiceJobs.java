package io.overhand.oracle;

import static io.overhand.oracle.Job.Trait.LOSES_EXECUTORS;
import static io.overhand.oracle.Job.Trait.LOSES_OUTPUTS;
import static io.overhand.oracle.Job.Trait.LOSES_THE_SERVER;
import static io.overhand.oracle.Job.job;
import static org.apache.spark.sql.functions.col;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.apache.spark.HashPartitioner;
import org.apache.spark.api.java.JavaPairRDD;
import scala.Tuple2;

/** Jobs between whose parts something happens to the service: it is damaged, restarted, or asked to forget. */
final class ServiceJobs {
  private static final long BUDGET = 32L << 20;
  /** What the server takes beyond its budget for blocks. */
  private static final long BESIDE_THE_BUDGET = 96L << 20;

  private ServiceJobs() {}

  /** With a budget of 32 MiB. */
  static List<Job> larger() {
    return List.of(job("sql-five-times-the-budget", ServiceJobs::fiveTimesTheBudget));
  }

  /** With a memory so small that the data is in segments. */
  static List<Job> damaged() {
    return List.of(
        job("rdd-flipped-bit-in-a-segment", ServiceJobs::flippedBit, LOSES_OUTPUTS),
        job("rdd-server-restarted-empty", ServiceJobs::restartedEmpty, LOSES_THE_SERVER));
  }

  /** With durability = disk: an acknowledged map output outlives the process. */
  static List<Job> durable() {
    return List.of(job("rdd-server-killed-and-restarted", ServiceJobs::restartedWithData));
  }

  /** With dynamic allocation and no shuffle service of Spark's. */
  static List<Job> dynamic() {
    return List.of(job("rdd-idle-executors-removed", ServiceJobs::idleExecutors, LOSES_EXECUTORS));
  }

  /** What Spark unregisters goes from the server's memory and disk. */
  static List<Job> deleted() {
    return List.of(job("rdd-shuffle-unregistered", ServiceJobs::unregistered));
  }

  /** 30 MB that do not compress, from 8 map tasks. */
  private static JavaPairRDD<Integer, byte[]> shuffled(Session session) {
    return session.context()
        .parallelize(List.of(0, 1, 2, 3, 4, 5, 6, 7), 8)
        .flatMapToPair(part -> {
          Random random = new Random(part);
          return IntStream.range(0, 3750)
              .mapToObj(i -> {
                byte[] bytes = new byte[1000];
                random.nextBytes(bytes);
                return new Tuple2<>(i, bytes);
              })
              .iterator();
        })
        .partitionBy(new HashPartitioner(6));
  }

  private static Outcome read(JavaPairRDD<Integer, byte[]> shuffled) {
    return Digest.of(shuffled.map(t -> t));
  }

  /**
   * More than 160 MiB go through, and the server's memory stays within its budget and the constant that the docs give.
   */
  private static Outcome fiveTimesTheBudget(Session session) throws Exception {
    Outcome outcome = Digest.of(SqlJobs.table(session, 2_200_000).repartition(20, col("h")));
    if (session.server().isPresent()) {
      long bytes = session.counts().bytesWritten();
      expect(bytes > 5 * BUDGET, "only " + bytes + " bytes were shuffled");
      long peak = session.server().get().peakMemory();
      expect(
          peak < BUDGET + BESIDE_THE_BUDGET,
          "the server took " + (peak >> 20) + " MiB with a budget of " + (BUDGET >> 20) + " MiB");
    }
    return outcome;
  }

  private static Outcome flippedBit(Session session) throws Exception {
    JavaPairRDD<Integer, byte[]> shuffled = shuffled(session);
    Outcome before = read(shuffled);
    if (session.server().isPresent()) {
      Path largest = session.server().get().segments().stream()
          .max(Comparator.comparingLong(ServiceJobs::size))
          .orElseThrow(() -> new IllegalStateException("nothing is in segments"));
      try (RandomAccessFile file = new RandomAccessFile(largest.toFile(), "rw")) {
        file.seek(file.length() / 2);
        int value = file.read();
        file.seek(file.length() / 2);
        file.write(value ^ 0x10);
      }
    }
    Outcome after = read(shuffled);
    expect(
        session.server().isEmpty() || session.counts().redone() > 0,
        "nothing was redone after a bit was flipped");
    expect(session.counts().redone() < 8, "every map task was redone for one bit");
    return before.and(after);
  }

  /** The outputs are redone on the new server, or the error says that the old one is gone; never are rows missing. */
  private static Outcome restartedEmpty(Session session) throws Exception {
    JavaPairRDD<Integer, byte[]> shuffled = shuffled(session);
    Outcome before = read(shuffled);
    if (session.server().isEmpty()) {
      return before.and(before);
    }
    session.server().get().restartEmpty();
    Outcome after;
    try {
      after = read(shuffled);
    } catch (Exception e) {
      expect(
          String.valueOf(e.getMessage()).contains("the one that was meant is gone"),
          "the error does not say what happened: " + e.getMessage());
      after = before;
    }
    return before.and(after);
  }

  private static Outcome restartedWithData(Session session) throws Exception {
    JavaPairRDD<Integer, byte[]> shuffled = shuffled(session);
    Outcome before = read(shuffled);
    if (session.server().isPresent()) {
      session.server().get().restartAfterKill();
    }
    return before.and(read(shuffled));
  }

  private static Outcome idleExecutors(Session session) throws Exception {
    JavaPairRDD<Integer, byte[]> shuffled = shuffled(session);
    Outcome before = read(shuffled);
    if (session.server().isPresent()) {
      await(
          "all executors are idle and removed",
          60,
          () -> session.context().sc().getExecutorIds().isEmpty());
    }
    return before.and(read(shuffled));
  }

  private static Outcome unregistered(Session session) throws Exception {
    Outcome outcome = read(shuffled(session));
    if (session.server().isPresent()) {
      OverhandServer server = session.server().get();
      await("the server has dropped what Spark's cleaner unregistered", 60, () -> {
        System.gc();
        return server.shuffles() == 0 && server.segments().isEmpty();
      });
    }
    return outcome;
  }

  private static long size(Path file) {
    try {
      return Files.size(file);
    } catch (IOException e) {
      return 0;
    }
  }

  static void expect(boolean condition, String otherwise) {
    if (!condition) {
      throw new IllegalStateException(otherwise);
    }
  }

  /** Looks at a condition until it holds. */
  static void await(String what, int seconds, Callable<Boolean> condition) throws Exception {
    long end = System.nanoTime() + seconds * 1_000_000_000L;
    while (!condition.call()) {
      expect(System.nanoTime() < end, "not within " + seconds + " s: " + what);
      Thread.sleep(100);
    }
  }
}
