package io.overhand.spark.jni;

/** Where an arena gets its memory from, and hands its records to. */
public interface Chunks {
  /**
   * Ends the open chunk after {@code used} bytes of whole records, and opens the next one, which begins with a copy of
   * the {@code tail} bytes that follow them.
   *
   * @param minLength the least capacity of the next chunk
   * @param push whether what was filled so far is handed over: its memory must not be touched any more
   * @param chunk takes the address and the capacity of the next chunk
   */
  void next(long used, long tail, long minLength, boolean push, long[] chunk);

  /** Ends the open chunk after {@code used} bytes and hands over what was filled so far. */
  void push(long used);
}
