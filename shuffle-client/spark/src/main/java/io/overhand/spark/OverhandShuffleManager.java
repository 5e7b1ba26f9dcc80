package io.overhand.spark;

import java.util.Optional;

import io.overhand.spark.conf.OverhandConf;
import io.overhand.spark.conf.SparkSettings;
import io.overhand.spark.driver.Driver;
import io.overhand.spark.driver.DriverSide;
import io.overhand.spark.driver.RemoteDriver;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.read.OverhandReader;
import io.overhand.spark.read.ReadScope;
import io.overhand.spark.write.OverhandWriter;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.shuffle.ShuffleHandle;
import org.apache.spark.shuffle.ShuffleReadMetricsReporter;
import org.apache.spark.shuffle.ShuffleReader;
import org.apache.spark.shuffle.ShuffleWriteMetricsReporter;
import org.apache.spark.shuffle.ShuffleWriter;
import org.apache.spark.shuffle.sort.SortShuffleManager;
import org.apache.spark.sql.catalyst.InternalRow;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.Iterator;

/**
 * Spark's way in: {@code spark.shuffle.manager=io.overhand.spark.OverhandShuffleManager}.
 *
 * <p>On the driver it registers the application, places shuffles and deletes them; in executors it writes and reads.
 * In local mode one object does both. It extends Spark's own manager because Spark copies every SQL row for one that
 * doesn't, and because that manager takes the shuffles that can't be placed.
 */
public final class OverhandShuffleManager extends SortShuffleManager {
  private static final Logger LOG = LoggerFactory.getLogger(OverhandShuffleManager.class);

  private final OverhandConf conf;
  /** Null in an executor. */
  private final Driver driver;
  /** How tasks here reach the driver, which is this very object's in local mode. */
  private final DriverSide driverSide;
  private NativeClient client;
  private boolean stopped;

  /**
   * Called by Spark, on the driver before anything reads the settings that are changed here.
   *
   * @throws IllegalArgumentException if a setting is wrong
   */
  public OverhandShuffleManager(SparkConf sparkConf, boolean isDriver) {
    super(sparkConf);
    conf = new OverhandConf(sparkConf);
    driver = isDriver ? new Driver(sparkConf, conf) : null;
    driverSide = isDriver ? driver : new RemoteDriver(sparkConf);
    if (isDriver) {
      for (String change : SparkSettings.apply(sparkConf, conf)) {
        LOG.info("set {}", change);
      }
    }
  }

  @Override
  public <K, V, C> ShuffleHandle registerShuffle(int shuffleId, ShuffleDependency<K, V, C> dependency) {
    int partitions = dependency.partitioner().numPartitions();
    Optional<byte[]> placement = driver.place(shuffleId, partitions);
    if (placement.isPresent()) {
      return new OverhandShuffleHandle<>(shuffleId, dependency, placement.get(), partitions);
    }
    return super.registerShuffle(shuffleId, dependency);
  }

  @Override
  public <K, V> ShuffleWriter<K, V> getWriter(
      ShuffleHandle handle, long mapId, TaskContext context, ShuffleWriteMetricsReporter metrics) {
    if (handle instanceof OverhandShuffleHandle) {
      @SuppressWarnings("unchecked")
      OverhandShuffleHandle<K, V, Object> ours = (OverhandShuffleHandle<K, V, Object>) handle;
      return new OverhandWriter<>(ours, client(), mapId, context, metrics);
    }
    return super.getWriter(handle, mapId, context, metrics);
  }

  @Override
  public <K, C> ShuffleReader<K, C> getReader(
      ShuffleHandle handle,
      int startMapIndex,
      int endMapIndex,
      int startPartition,
      int endPartition,
      TaskContext context,
      ShuffleReadMetricsReporter metrics) {
    if (handle instanceof OverhandShuffleHandle) {
      @SuppressWarnings("unchecked")
      OverhandShuffleHandle<K, Object, C> ours = (OverhandShuffleHandle<K, Object, C>) handle;
      ReadScope scope =
          new ReadScope(
              ours.shuffleId(), ours.placement(), startMapIndex, endMapIndex, startPartition, endPartition);
      return new OverhandReader<>(ours.dependency(), scope, client(), driverSide, context, metrics);
    }
    return super.getReader(handle, startMapIndex, endMapIndex, startPartition, endPartition, context, metrics);
  }

  /** SQL rows of {@code fields} fields, for a task that has no handle of the shuffle. */
  public Iterator<InternalRow> rows(
      ReadScope scope, int fields, TaskContext context, ShuffleReadMetricsReporter metrics) {
    return OverhandReader.rows(scope, fields, client(), driverSide, context, metrics);
  }

  /** Called on the driver and on every executor; only the driver deletes, since the data is not the executors'. */
  @Override
  public boolean unregisterShuffle(int shuffleId) {
    if (driver != null) {
      driver.remove(shuffleId);
    }
    return super.unregisterShuffle(shuffleId);
  }

  @Override
  public void stop() {
    synchronized (this) {
      stopped = true;
      if (client != null) {
        client.close();
        client = null;
      }
    }
    if (driver != null) {
      driver.stop();
    }
    super.stop();
  }

  private synchronized NativeClient client() {
    if (stopped) {
      throw new IllegalStateException("the shuffle manager was stopped");
    }
    if (client == null) {
      SparkEnv env = SparkEnv.get();
      // Spark gives the key to its own shuffle's streams only: what leaves through us, we encrypt.
      boolean encrypted = env.conf().getBoolean("spark.io.encryption.enabled", false);
      byte[] key = encrypted ? env.securityManager().getIOEncryptionKey().get() : null;
      NativeClient opened = new NativeClient(conf, key, slots(env.conf()), driverSide::ask);
      new CountersSource("OverhandClient", opened::counters).gauge("driver_rpcs", driverSide::rpcs).register();
      client = opened;
    }
    return client;
  }

  /** How many tasks run here at a time. */
  private static int slots(SparkConf conf) {
    int cores = conf.getInt("spark.executor.cores", Runtime.getRuntime().availableProcessors());
    return Math.max(1, cores / Math.max(1, conf.getInt("spark.task.cpus", 1)));
  }
}
