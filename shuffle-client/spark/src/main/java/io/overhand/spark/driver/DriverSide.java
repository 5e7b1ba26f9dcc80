package io.overhand.spark.driver;

/** What tasks ask of the driver, wherever they run. Any thread may call. */
public interface DriverSide {
  /**
   * Tells what is wrong with the placement of a shuffle, and waits for the newest; a failure is an answer too.
   *
   * @param trouble the bytes of the native client's {@code Trouble}
   * @return the bytes of an {@link io.overhand.spark.jni.Answer}
   */
  byte[] ask(int shuffleId, byte[] trouble);

  /**
   * Makes Spark forget {@code lost}; what has been replaced by another attempt stays. A failure is only logged: the
   * exception that follows still names one output.
   */
  void forget(LostMaps lost);

  /** How often this process has called the driver over the network for that. */
  default long rpcs() {
    return 0;
  }
}
