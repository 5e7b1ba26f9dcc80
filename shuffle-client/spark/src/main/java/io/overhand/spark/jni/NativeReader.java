package io.overhand.spark.jni;

/** One task's input. Any thread may call, one at a time; a call after the end is refused. */
public final class NativeReader implements AutoCloseable {
  private final long[] batch = new long[4];
  private long handle;

  NativeReader(long handle) {
    this.handle = handle;
  }

  /**
   * Moves to the next batch; the one before is gone then. False at the end: the last batch stays until {@link #close}.
   *
   * @throws DataLostException if something expected is missing or damaged
   */
  public synchronized boolean next() {
    switch (Native.readerNext(handle, batch)) {
      case Native.BATCH:
        return true;
      case Native.END:
        return false;
      default:
        throw new OverhandException(ErrorKind.INTERNAL, "the native reader gave no answer", null);
    }
  }

  /** Where the batch begins. */
  public long address() {
    return batch[0];
  }

  /** Its bytes. */
  public long length() {
    return batch[1];
  }

  /** The partition that it belongs to. */
  public int partition() {
    return (int) batch[2];
  }

  /** Its items. */
  public long items() {
    return batch[3];
  }

  /** Puts stored bytes, blocks, nanoseconds of waiting and bytes held now into {@code stats}. */
  public synchronized void stats(long[] stats) {
    Native.readerStats(handle, stats);
  }

  /** Gives everything back, the last batch included. */
  @Override
  public synchronized void close() {
    long closed = handle;
    handle = 0;
    Native.readerClose(closed);
  }
}
