package io.overhand.spark.jni;

import java.util.concurrent.locks.ReentrantReadWriteLock;

import io.overhand.spark.conf.OverhandConf;

/** A registered application: the driver's side. Any thread may call. */
public final class NativeApplication implements AutoCloseable {
  // Calls may take as long as a worker's answer, and must not wait for each other; the end waits for all.
  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
  private long handle;
  private volatile Counters counters = Counters.NONE;

  /**
   * Registers {@code app} with the coordinators.
   *
   * @throws OverhandException RETRY if none answers, DENIED if the secret is wrong
   */
  public NativeApplication(OverhandConf conf, String app) {
    NativeLibrary.load();
    handle =
        Native.applicationOpen(
            String.join(",", conf.coordinators()),
            app,
            conf.tenant(),
            conf.registrationSecret(),
            conf.replicas(),
            String.join(",", conf.tags()),
            conf.connectTimeoutMillis(),
            conf.silenceMillis());
  }

  /**
   * Places a shuffle, with no network call: what a {@link NativeClient} needs to write and read it.
   *
   * @throws OverhandException NOT_FOUND if no worker takes data
   */
  public byte[] placement(int shuffle, int partitions) {
    lock.readLock().lock();
    try {
      return Native.applicationPlacement(handle, shuffle, partitions);
    } finally {
      lock.readLock().unlock();
    }
  }

  /**
   * Does what a task's trouble calls for, with no network call: the placement as it is then. It waits for nobody.
   *
   * @throws OverhandException NOT_FOUND if there is no such shuffle, CLOSED if the application ends
   */
  public byte[] ask(int shuffle, byte[] trouble) {
    if (!lock.readLock().tryLock()) {
      throw new OverhandException(ErrorKind.CLOSED, "the application has ended", null);
    }
    try {
      return Native.applicationAsk(handle, shuffle, trouble);
    } finally {
      lock.readLock().unlock();
    }
  }

  /** Tells that so many map outputs are lost, for the application's status; {@code text} says why, for people. */
  public void reportLost(int shuffle, int outputs, String text) {
    if (!lock.readLock().tryLock()) {
      return;
    }
    try {
      Native.applicationReportLost(handle, shuffle, outputs, text);
    } finally {
      lock.readLock().unlock();
    }
  }

  /** What it has asked of others so far; near its end, and after it, what was known before. It waits for nobody. */
  public Counters counters() {
    if (lock.readLock().tryLock()) {
      try {
        if (handle != 0) {
          counters = new Counters(Native.applicationCounters(handle));
        }
      } finally {
        lock.readLock().unlock();
      }
    }
    return counters;
  }

  /** Deletes a shuffle at its workers. */
  public void removeShuffle(int shuffle) {
    lock.readLock().lock();
    try {
      Native.applicationRemoveShuffle(handle, shuffle);
    } finally {
      lock.readLock().unlock();
    }
  }

  /** Ends the application: the workers delete all its data. */
  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      long ended = handle;
      handle = 0;
      Native.applicationEnd(ended);
    } finally {
      lock.writeLock().unlock();
    }
  }
}
