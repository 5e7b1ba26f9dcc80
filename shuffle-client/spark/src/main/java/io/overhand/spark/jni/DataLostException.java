package io.overhand.spark.jni;

/** Bytes that were acknowledged are gone or damaged: these map tasks must run again. */
public final class DataLostException extends OverhandException {
  private final int[] mapIndexes;
  private final long[] attempts;

  /** Called by the native code. The two arrays belong together, element by element. */
  public DataLostException(String message, int[] mapIndexes, long[] attempts) {
    super(ErrorKind.DATA_LOST, message, null);
    this.mapIndexes = mapIndexes;
    this.attempts = attempts;
  }

  /** The map tasks whose output is lost. */
  public int[] mapIndexes() {
    return mapIndexes.clone();
  }

  /** For each map task the attempt whose output is lost. */
  public long[] attempts() {
    return attempts.clone();
  }
}
