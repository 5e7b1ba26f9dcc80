package io.overhand.spark.read;

import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.jni.NativeReader;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.TaskContext;
import org.apache.spark.shuffle.ShuffleReadMetricsReporter;

/** The native reader of one task, with Spark's metrics and Spark's failures. */
final class Input implements Batches {
  private final Losses losses;
  private final TaskContext context;
  private final ShuffleReadMetricsReporter metrics;
  private final NativeClient client;
  private final NativeReader reader;
  private final ReaderMemory memory;
  private final Thread owner = Thread.currentThread();
  private boolean sharedWithAnotherThread;

  private final long[] stats = new long[4];
  private long bytesCounted;
  private long blocksCounted;
  private long waitCounted;
  private long items;
  private boolean ended;
  private boolean closed;

  Input(
      Losses losses,
      TaskContext context,
      ShuffleReadMetricsReporter metrics,
      NativeClient client,
      NativeReader reader,
      ReaderMemory memory) {
    this.losses = losses;
    this.context = context;
    this.metrics = metrics;
    this.client = client;
    this.reader = reader;
    this.memory = memory;
  }

  @Override
  public synchronized boolean next() {
    if (closed) {
      throw new OverhandException(ErrorKind.CLOSED, "the task that reads this shuffle has ended", null);
    }
    if (ended) {
      return false;
    }
    if (Thread.currentThread() == owner) {
      context.killTaskIfInterrupted();
    } else {
      sharedWithAnotherThread = true;
    }
    try {
      do {
        if (!reader.next()) {
          ended = true;
          count();
          context.taskMetrics().mergeShuffleReadMetrics();
          return false;
        }
      } while (reader.items() == 0);
    } catch (OverhandException e) {
      if (e.kind() == ErrorKind.CLOSED) {
        // It may have ended because Spark kills the task: then with Spark's own exception.
        context.killTaskIfInterrupted();
      }
      throw losses.asSparkFailure(e);
    }
    items += reader.items();
    count();
    return true;
  }

  @Override
  public long address() {
    return reader.address();
  }

  @Override
  public long end() {
    return reader.address() + reader.length();
  }

  @Override
  public long items() {
    return items;
  }

  @Override
  public void recordsRead(long records) {
    metrics.incRecordsRead(records);
    if (ended) {
      // Whoever counts in steps tells the last of them after the end, and Spark sums up only when asked.
      context.taskMetrics().mergeShuffleReadMetrics();
    }
  }

  /**
   * Gives all memory back when the task ends. If another thread has read from {@code records}, the memory that rows may
   * still be looked at in stays until {@code records} is unreachable.
   */
  synchronized void close(Object records) {
    if (closed) {
      return;
    }
    closed = true;
    try {
      if (!ended) {
        count();
        context.taskMetrics().mergeShuffleReadMetrics();
      }
    } finally {
      memory.close();
      if (sharedWithAnotherThread) {
        client.closeLater(reader, records);
      } else {
        reader.close();
      }
    }
  }

  private void count() {
    reader.stats(stats);
    metrics.incRemoteBytesRead(stats[0] - bytesCounted);
    metrics.incRemoteBlocksFetched(stats[1] - blocksCounted);
    metrics.incFetchWaitTime((stats[2] - waitCounted) / 1_000_000);
    bytesCounted = stats[0];
    blocksCounted = stats[1];
    // What is less than a millisecond is counted with the next batch.
    waitCounted = stats[2] - (stats[2] - waitCounted) % 1_000_000;
  }
}
