package io.overhand.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.Properties;
import java.util.concurrent.TimeUnit;

import io.overhand.spark.conf.OverhandConf;
import io.overhand.spark.jni.Answer;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.jni.PlacementBytes;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskContextImpl;
import org.apache.spark.TaskKilledException;
import org.apache.spark.executor.TaskMetrics;
import org.junit.jupiter.api.function.Executable;
import scala.collection.immutable.Map$;

/** A task whose worker takes connections and never answers, and which Spark kills while it waits. */
public final class KilledTask implements AutoCloseable {
  private static final long KILLED_AFTER_MILLIS = 1500;

  private final ServerSocket server;
  private final byte[] placement;
  private final NativeClient client;
  private final TaskContextImpl context;

  /** A task that nobody has killed. */
  public KilledTask() throws IOException {
    server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    placement = PlacementBytes.of("127.0.0.1:" + server.getLocalPort());
    SparkConf conf = new SparkConf(false).set("spark.overhand.coordinators", "127.0.0.1:1");
    SparkEnv.set(
        new SparkEnv("1", null, null, null, null, null, null, null, null, null, null, null, null, conf));
    client = new NativeClient(new OverhandConf(conf), null, 1, (shuffle, trouble) -> Answer.placement(placement));
    context =
        new TaskContextImpl(
            0, 0, 0, 5, 0, 1, null, new Properties(), null, new TaskMetrics(), 1, Map$.MODULE$.empty());
  }

  /** The executor's client. */
  public NativeClient client() {
    return client;
  }

  /** What Spark kills. */
  public TaskContext context() {
    return context;
  }

  /** The placement of its shuffle. */
  public byte[] placement() {
    return placement;
  }

  /** Kills the task while it is in {@code call}, which must end soon, with Spark's own exception. */
  public void dies(Executable call) throws InterruptedException {
    long start = System.nanoTime();
    Thread spark =
        new Thread(
            () -> {
              try {
                Thread.sleep(KILLED_AFTER_MILLIS);
              } catch (InterruptedException e) {
                throw new AssertionError(e);
              }
              context.markInterrupted("another attempt succeeded");
            });
    spark.start();
    TaskKilledException killed = assertThrows(TaskKilledException.class, call);
    long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
    spark.join();
    assertEquals("another attempt succeeded", killed.reason());
    assertTrue(millis >= KILLED_AFTER_MILLIS && millis < KILLED_AFTER_MILLIS + 3000, "it took " + millis + " ms");
  }

  @Override
  public void close() throws IOException {
    client.close();
    SparkEnv.set(null);
    server.close();
  }
}
