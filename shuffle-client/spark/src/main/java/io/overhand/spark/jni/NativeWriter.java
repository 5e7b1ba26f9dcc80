package io.overhand.spark.jni;

/** One attempt's output. One thread at a time; a call after the end is refused. */
public final class NativeWriter implements Chunks, AutoCloseable {
  private long handle;

  NativeWriter(long handle) {
    this.handle = handle;
  }

  @Override
  public synchronized void next(long used, long tail, long minLength, boolean push, long[] chunk) {
    Native.writerNext(handle, used, tail, minLength, push, chunk);
  }

  @Override
  public synchronized void push(long used) {
    Native.writerPush(handle, used);
  }

  /** Ends the open chunk, sends everything and waits for the commit: the stored bytes of each partition. */
  public synchronized long[] finish(long used) {
    return Native.writerFinish(handle, used);
  }

  /** Waits until what was pushed is encoded. */
  public synchronized void drain() {
    Native.writerDrain(handle);
  }

  /** Bytes that were taken over and are not sent yet. */
  public synchronized long heldBytes() {
    long[] stats = new long[3];
    Native.writerStats(handle, stats);
    return stats[2];
  }

  /** Gives everything back; what was not finished is given up. */
  @Override
  public synchronized void close() {
    long closed = handle;
    handle = 0;
    Native.writerClose(closed);
  }
}
