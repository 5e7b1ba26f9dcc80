package io.overhand.spark.jni;

import java.util.List;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/** A registered application: the driver's side. Any thread may call. */
public final class NativeApplication implements AutoCloseable {
  // Calls may take as long as a worker's answer, and must not wait for each other; the end waits for all.
  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
  private long handle;

  /**
   * Registers with the first coordinator that answers.
   *
   * @throws OverhandException RETRY if none does, DENIED if the secret is wrong
   */
  public NativeApplication(
      List<String> coordinators, String app, String tenant, String secret, long connectTimeoutMillis) {
    NativeLibrary.load();
    handle = Native.applicationOpen(String.join(",", coordinators), app, tenant, secret, connectTimeoutMillis);
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
