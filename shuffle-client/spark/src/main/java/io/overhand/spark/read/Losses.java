package io.overhand.spark.read;

import io.overhand.spark.driver.DriverSide;
import io.overhand.spark.driver.LostMaps;
import io.overhand.spark.driver.MapOutputs;
import io.overhand.spark.jni.DataLostException;
import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.shuffle.FetchFailedException;
import org.apache.spark.unsafe.Platform;

/**
 * Failures of a reader as Spark knows them: what is lost is told to the driver, and then thrown as the exception that
 * makes Spark run those map tasks again. That exception names only one output: without the driver's knowing the others,
 * each of them would cost another run of the stage.
 */
final class Losses {
  private final int shuffleId;
  private final int startPartition;
  private final Expected expected;
  private final DriverSide driver;

  Losses(int shuffleId, int startPartition, Expected expected, DriverSide driver) {
    this.shuffleId = shuffleId;
    this.startPartition = startPartition;
    this.expected = expected;
    this.driver = driver;
  }

  /**
   * What to throw for {@code e}. Where map outputs are lost, this doesn't return: it throws the exception that makes
   * Spark run them again.
   */
  RuntimeException asSparkFailure(OverhandException e) {
    DataLostException lost = null;
    if (e instanceof DataLostException) {
      lost = (DataLostException) e;
    } else if (e.kind() == ErrorKind.NOT_FOUND || e.kind() == ErrorKind.STALE) {
      // The worker doesn't know the shuffle any more: nothing of it is left there.
      lost = new DataLostException(e.getMessage(), expected.mapIndexes(), expected.attempts());
    }
    if (lost == null || lost.mapIndexes().length == 0) {
      return e;
    }
    int[] mapIndexes = lost.mapIndexes();
    long[] attempts = lost.attempts();
    driver.forget(new LostMaps(shuffleId, mapIndexes, attempts));
    // Spark takes the failure from the making of this exception, on this thread, and wants it thrown at once.
    Platform.throwException(
        new FetchFailedException(
            MapOutputs.location(shuffleId, mapIndexes[0], attempts[0]),
            shuffleId,
            attempts[0],
            mapIndexes[0],
            startPartition,
            e.getMessage(),
            e));
    throw new AssertionError(e);
  }
}
