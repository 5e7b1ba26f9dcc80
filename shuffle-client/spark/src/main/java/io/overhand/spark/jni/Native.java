package io.overhand.spark.jni;

import java.util.function.BooleanSupplier;

/**
 * The native methods, and nothing else: the classes beside own the handles and see to it that none is used after its
 * end. Every method throws {@link OverhandException}, never returns, when it fails.
 */
final class Native {
  /** {@link #readerNext}: there is a batch. Zero is no answer. */
  static final int BATCH = 1;

  /** {@link #readerNext}: everything was handed out. */
  static final int END = 2;

  /** {@link #logNext}: the line's level. Zero is no answer. */
  static final int LOG_ERROR = 1;

  /** {@link #logNext}: the line's level. */
  static final int LOG_WARN = 2;

  /** {@link #logNext}: the line's level. */
  static final int LOG_INFO = 3;

  private Native() {}

  static native long applicationOpen(
      String coordinators,
      String app,
      String tenant,
      String secret,
      int replicas,
      String tags,
      long connectTimeoutMillis,
      long silenceMillis);

  static native byte[] applicationPlacement(long application, int shuffle, int partitions);

  static native byte[] applicationAsk(long application, int shuffle, byte[] trouble);

  static native void applicationReportLost(long application, int shuffle, int outputs, String text);

  static native long[] applicationCounters(long application);

  static native void applicationRemoveShuffle(long application, int shuffle);

  static native void applicationEnd(long application);

  static native long clientOpen(
      int codec,
      int zstdLevel,
      byte[] key,
      long writerMemory,
      long readerMemory,
      int slots,
      int threads,
      long connectTimeoutMillis,
      long silenceMillis,
      AskDriver driver);

  static native long clientBatchSize(long client, int partitions);

  static native long[] clientCounters(long client);

  static native void clientClose(long client);

  static native String counterNames();

  static native long writerOpen(
      long client, byte[] placement, int mapIndex, long attempt, BooleanSupplier interrupted);

  static native void writerNext(long writer, long used, long tail, long minLength, boolean push, long[] chunk);

  static native void writerPush(long writer, long used);

  static native void writerDrain(long writer);

  static native long[] writerFinish(long writer, long used);

  static native void writerStats(long writer, long[] stats);

  static native void writerClose(long writer);

  static native long readerOpen(
      long client,
      byte[] placement,
      int startPartition,
      int endPartition,
      int startMap,
      int endMap,
      long[] expected,
      BooleanSupplier interrupted);

  static native int readerNext(long reader, long[] batch);

  static native void readerStats(long reader, long[] stats);

  static native void readerClose(long reader);

  static native long logOpen();

  static native int logNext(long log, String[] line);
}
