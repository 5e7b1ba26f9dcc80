package io.overhand.oracle;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;

/** One Spark application: the driver in this process, two executors of one core in processes of their own. */
final class Session implements AutoCloseable {
  private final SparkSession spark;
  private final JavaSparkContext context;
  private final TaskCounter counter = new TaskCounter();
  private final Path scratch;
  private final boolean sabotaged;
  private final Optional<OverhandServer> server;

  /**
   * Starts the application.
   *
   * @param conf what differs from Spark's defaults; the system properties of this process count too
   * @param sabotaged whether things go wrong in the jobs that can
   * @param server the server behind the shuffle, for the jobs that damage it
   */
  Session(String name, Map<String, String> conf, Path scratch, boolean sabotaged, Optional<OverhandServer> server) {
    SparkConf all = new SparkConf().setAppName(name);
    all.setIfMissing("spark.master", "local-cluster[2,1,1024]");
    all.setIfMissing("spark.ui.enabled", "false");
    all.setIfMissing("spark.sql.shuffle.partitions", "8");
    all.setIfMissing("spark.default.parallelism", "4");
    all.setIfMissing("spark.sql.autoBroadcastJoinThreshold", "-1");
    all.setIfMissing("spark.unsafe.exceptionOnMemoryLeak", "true");
    all.setIfMissing("spark.sql.warehouse.dir", scratch.resolve("warehouse").toString());
    conf.forEach(all::set);
    this.spark = SparkSession.builder().config(all).getOrCreate();
    this.context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    this.scratch = scratch;
    this.sabotaged = sabotaged;
    this.server = server;
    spark.sparkContext().addSparkListener(counter);
  }

  SparkSession spark() {
    return spark;
  }

  JavaSparkContext context() {
    return context;
  }

  Optional<OverhandServer> server() {
    return server;
  }

  /** A sabotage of its own for each job that asks. */
  Sabotage sabotage() throws IOException {
    return new Sabotage(Files.createTempDirectory(scratch, "marks").toString(), sabotaged);
  }

  /** What the tasks did since the last {@link #reset}. */
  TaskCounter.Counts counts() throws Exception {
    spark.sparkContext().listenerBus().waitUntilEmpty(60_000);
    counter.quiesce();
    return counter.counts();
  }

  void reset() throws Exception {
    counts();
    counter.reset();
  }

  /** Sets settings of the session for the time of one job. */
  <T> T with(Map<String, String> settings, java.util.concurrent.Callable<T> job) throws Exception {
    Map<String, String> before = new java.util.HashMap<>();
    settings.forEach((key, value) -> {
      before.put(key, spark.conf().get(key, null));
      spark.conf().set(key, value);
    });
    try {
      return job.call();
    } finally {
      before.forEach((key, value) -> {
        if (value == null) {
          spark.conf().unset(key);
        } else {
          spark.conf().set(key, value);
        }
      });
    }
  }

  @Override
  public void close() {
    spark.stop();
    SparkSession.clearActiveSession();
    SparkSession.clearDefaultSession();
  }
}
