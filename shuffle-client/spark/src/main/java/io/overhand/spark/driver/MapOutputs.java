package io.overhand.spark.driver;

import org.apache.spark.storage.BlockManagerId;
import scala.Option;

/** Where Spark believes that the output of a map attempt is. */
public final class MapOutputs {
  private MapOutputs() {}

  /**
   * The location of one attempt's output: an executor that doesn't exist, and a different one for each attempt. When
   * Spark takes the location for dead, it forgets everything that is there: exactly this output, and never that of the
   * attempt that has replaced it.
   */
  public static BlockManagerId location(int shuffleId, int mapIndex, long attempt) {
    String executor = "overhand-" + shuffleId + "-" + mapIndex + "-" + attempt;
    return BlockManagerId.apply(executor, "overhand", 1, Option.empty());
  }
}
