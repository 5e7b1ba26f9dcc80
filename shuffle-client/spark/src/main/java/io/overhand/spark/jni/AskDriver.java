package io.overhand.spark.jni;

/** How the native client of an executor reaches the driver, which owns placement. A thread of the client's calls. */
@FunctionalInterface
public interface AskDriver {
  /**
   * Tells the driver what is wrong with the placement of a shuffle, and waits for the newest: an {@link Answer}. A
   * failure is an answer too.
   *
   * @param trouble the bytes of the native client's {@code Trouble}
   */
  byte[] ask(int shuffle, byte[] trouble);
}
