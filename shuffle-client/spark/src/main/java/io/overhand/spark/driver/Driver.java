package io.overhand.spark.driver;

import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

import io.overhand.spark.CountersSource;
import io.overhand.spark.conf.Fallback;
import io.overhand.spark.conf.OverhandConf;
import io.overhand.spark.jni.Answer;
import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.NativeApplication;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.MapOutputTrackerMaster;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The driver's side: registers the application when its first shuffle comes (its id is not known before), places
 * shuffles, answers what tasks ask about their places, and deletes them. Any thread may call.
 */
public final class Driver implements DriverSide {
  private static final Logger LOG = LoggerFactory.getLogger(Driver.class);
  private static final int MAX_APP_ID = 128;
  private static final int MAX_PARTITIONS = 1 << 24;

  private final SparkConf sparkConf;
  private final OverhandConf conf;
  private final String suffix = "-" + Integer.toHexString(ThreadLocalRandom.current().nextInt(1 << 24) | 1 << 24);
  private final PlacedShuffles placed = new PlacedShuffles(Driver::knownToSpark);

  /** Written under the lock; read without it where nobody may wait for a registration or for the end. */
  private volatile NativeApplication application;

  private boolean endpointStarted;
  private boolean stopped;
  private boolean warned;
  private OverhandException lastFailure;
  private long askAgainAt;

  /** A driver that has not registered. */
  public Driver(SparkConf sparkConf, OverhandConf conf) {
    this.sparkConf = sparkConf;
    this.conf = conf;
  }

  /**
   * Places a shuffle; nothing if it must go through Spark's own.
   *
   * @throws OverhandException if it can't be placed and that is not allowed
   */
  public synchronized Optional<byte[]> place(int shuffleId, int partitions) {
    try {
      if (partitions > MAX_PARTITIONS) {
        throw new OverhandException(
            ErrorKind.INVALID, partitions + " partitions are more than " + MAX_PARTITIONS, null);
      }
      if (application == null) {
        register();
      }
      // A shuffle of no partition has no task that could use its place.
      int atLeastOne = Math.max(partitions, 1);
      byte[] placement = application.placement(shuffleId, atLeastOne);
      placed.add(shuffleId, atLeastOne);
      return Optional.of(placement);
    } catch (OverhandException e) {
      // A secret that is wrong is a mistake to mend, not an outage to live through.
      if (stopped || conf.fallback() == Fallback.NEVER || e.kind() == ErrorKind.DENIED) {
        throw new OverhandException(
            e.kind(), "shuffle " + shuffleId + " can't go through Overhand: " + e.reason(), e);
      }
      if (!warned) {
        LOG.warn(
            "Shuffle {} goes through Spark's own shuffle, because it can't go through Overhand: {}. The next ones will"
                + " try again, without a further warning; {}=never makes this an error",
            shuffleId,
            e.getMessage(),
            OverhandConf.FALLBACK.key());
        warned = true;
      } else {
        LOG.info("Shuffle {} goes through Spark's own shuffle: {}", shuffleId, e.getMessage());
      }
      return Optional.empty();
    }
  }

  @Override
  public byte[] ask(int shuffleId, byte[] trouble) {
    NativeApplication registered = application;
    if (registered == null) {
      return Answer.failure(ErrorKind.CLOSED, "the application has ended");
    }
    try {
      return Answer.placement(
          placed.askOrPlaceAgain(
              shuffleId,
              () -> registered.ask(shuffleId, trouble),
              partitions -> registered.placement(shuffleId, partitions)));
    } catch (OverhandException e) {
      return Answer.failure(e.kind(), e.reason());
    }
  }

  @Override
  public void forget(LostMaps lost) {
    try {
      unregister(lost);
      LOG.warn("{} map outputs of shuffle {} are lost and will be made again", lost.count(), lost.shuffleId());
      NativeApplication registered = application;
      if (registered != null) {
        registered.reportLost(lost.shuffleId(), lost.count(), "a reader found them missing or damaged");
      }
    } catch (Exception e) {
      // Spark's are checked ones, which Scala doesn't declare.
      LOG.warn("lost map outputs of shuffle {} were not forgotten", lost.shuffleId(), e);
    }
  }

  /** Deletes a shuffle at the workers, if it was placed. A failure is logged: the application's end does it. */
  public void remove(int shuffleId) {
    NativeApplication registered = application;
    if (registered != null && placed.remove(shuffleId)) {
      try {
        registered.removeShuffle(shuffleId);
      } catch (OverhandException e) {
        LOG.warn("shuffle {} was not deleted, it goes with the application: {}", shuffleId, e.getMessage());
      }
    }
  }

  /** Ends the application. A failure is logged: the workers then delete the data when the lease expires. */
  public synchronized void stop() {
    stopped = true;
    if (application != null) {
      try {
        application.close();
      } catch (OverhandException e) {
        LOG.warn("the application was not ended, its data goes when its lease expires: {}", e.getMessage());
      }
      application = null;
    }
  }

  private static boolean knownToSpark(int shuffleId) {
    SparkEnv env = SparkEnv.get();
    return env != null && ((MapOutputTrackerMaster) env.mapOutputTracker()).containsShuffle(shuffleId);
  }

  private static void unregister(LostMaps lost) {
    MapOutputTrackerMaster tracker = (MapOutputTrackerMaster) SparkEnv.get().mapOutputTracker();
    for (int i = 0; i < lost.count(); i++) {
      int mapIndex = lost.mapIndex(i);
      // Does nothing unless the location is that of this very attempt.
      tracker.unregisterMapOutput(
          lost.shuffleId(), mapIndex, MapOutputs.location(lost.shuffleId(), mapIndex, lost.attempt(i)));
    }
  }

  private void register() {
    if (stopped) {
      throw new OverhandException(ErrorKind.CLOSED, "the application has ended", null);
    }
    if (lastFailure != null && System.nanoTime() - askAgainAt < 0) {
      throw lastFailure;
    }
    long start = System.nanoTime();
    try {
      application = open();
      lastFailure = null;
    } catch (OverhandException e) {
      // Coordinators that are refused are asked for every shuffle. Where asking takes its time, a job of many shuffles
      // spends a tenth of its time on it at most.
      long now = System.nanoTime();
      askAgainAt = now + 10 * (now - start);
      lastFailure = e;
      throw e;
    }
    new CountersSource("OverhandApplication", application::counters).register();
    if (!endpointStarted) {
      DriverEndpoint.start(SparkEnv.get().rpcEnv(), this);
      endpointStarted = true;
    }
  }

  private NativeApplication open() {
    String app = appId(sparkConf.get("spark.app.id", "spark"), suffix);
    NativeApplication opened = new NativeApplication(conf, app);
    LOG.info("registered with Overhand as {}", app);
    return opened;
  }

  /** Spark's id, with every character that the servers don't allow replaced, and with the suffix. */
  static String appId(String sparkId, String suffix) {
    String safe = sparkId.replaceAll("[^A-Za-z0-9._-]", "-").replaceFirst("^\\.", "-");
    return safe.substring(0, Math.min(safe.length(), MAX_APP_ID - suffix.length())) + suffix;
  }
}
