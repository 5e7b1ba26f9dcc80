package io.overhand.spark.jni;

import java.util.function.BooleanSupplier;

import io.overhand.spark.conf.OverhandConf;

/** One per executor. Any thread may call. */
public final class NativeClient implements AutoCloseable {
  private final Stragglers stragglers = new Stragglers();
  private final long writerMemory;
  private final long readerMemory;
  private long handle;
  private Counters counters = Counters.NONE;

  /**
   * Starts a client for {@code slots} tasks at a time, which asks {@code driver} when a placement is out of date.
   * {@code key} encrypts blocks; null for none.
   *
   * @throws OverhandException INVALID if a setting is out of bounds
   */
  public NativeClient(OverhandConf conf, byte[] key, int slots, AskDriver driver) {
    NativeLibrary.load();
    writerMemory = conf.writerMemory();
    readerMemory = conf.readerMemory();
    handle =
        Native.clientOpen(
            conf.codec().code(),
            conf.zstdLevel(),
            key,
            writerMemory,
            readerMemory,
            slots,
            conf.ioThreads() == 0 ? slots : conf.ioThreads(),
            conf.connectTimeoutMillis(),
            conf.silenceMillis(),
            driver);
  }

  /**
   * A writer of one attempt's output. While a call waits, it asks about once a second whether it is
   * {@code interrupted}: then it fails with CLOSED.
   */
  public synchronized NativeWriter writer(
      byte[] placement, int mapIndex, long attempt, BooleanSupplier interrupted) {
    return new NativeWriter(Native.writerOpen(handle, placement, mapIndex, attempt, interrupted));
  }

  /** A reader of what {@code request} says; {@code interrupted} is as of a writer. */
  public synchronized NativeReader reader(byte[] placement, ReadRequest request, BooleanSupplier interrupted) {
    stragglers.closeUnreachable();
    return new NativeReader(
        Native.readerOpen(
            handle,
            placement,
            request.startPartition(),
            request.endPartition(),
            request.startMap(),
            request.endMap(),
            request.expected(),
            interrupted));
  }

  /** Closes {@code reader} when {@code user}, whose thread may still look at its memory, is unreachable. */
  public void closeLater(NativeReader reader, Object user) {
    stragglers.add(user, reader);
  }

  /** How many bytes of records one writer of a shuffle with so many partitions should collect for a batch. */
  public synchronized long batchSize(int partitions) {
    return Math.min(Native.clientBatchSize(handle, partitions), writerMemory / 4);
  }

  /** What it has asked of others so far; after its end, what it had then. */
  public synchronized Counters counters() {
    if (handle != 0) {
      counters = new Counters(Native.clientCounters(handle));
    }
    return counters;
  }

  /** The most bytes that one writer holds. */
  public long writerMemory() {
    return writerMemory;
  }

  /** The most bytes that one reader holds. */
  public long readerMemory() {
    return readerMemory;
  }

  /** Stops it once its writers and readers are closed. */
  @Override
  public synchronized void close() {
    counters();
    long closed = handle;
    handle = 0;
    Native.clientClose(closed);
  }
}
