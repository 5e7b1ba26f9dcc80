package io.overhand.spark.read;

import java.util.Optional;

import io.overhand.spark.driver.DriverSide;
import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.jni.NativeReader;
import io.overhand.spark.jni.OverhandException;
import io.overhand.spark.jni.ReadRequest;
import org.apache.spark.TaskContext;
import org.apache.spark.shuffle.ShuffleReadMetricsReporter;
import org.apache.spark.util.TaskCompletionListener;

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

  /** Opens what Spark says is valid in {@code scope}; nothing if that is nothing. */
  static Optional<Input> open(
      ReadScope scope,
      NativeClient client,
      DriverSide driver,
      TaskContext context,
      ShuffleReadMetricsReporter metrics) {
    Expected expected = Expected.of(scope);
    if (expected.count() == 0) {
      return Optional.empty();
    }
    ReadRequest request =
        new ReadRequest(
            scope.startPartition(), scope.endPartition(), scope.startMap(), scope.endMap(), expected.numbers());
    ReaderMemory memory = ReaderMemory.of(context, expected.bytes(), client.readerMemory());
    try {
      return Optional.of(
          new Input(
              new Losses(scope.shuffleId(), scope.startPartition(), expected, driver),
              context,
              metrics,
              client,
              client.reader(scope.placement(), request, context::isInterrupted),
              memory));
    } catch (RuntimeException e) {
      memory.close();
      throw e;
    }
  }

  /** When the task ends, lets {@code records} {@code finish} and gives all memory back. */
  void closeWithTask(Object records, Runnable finish) {
    TaskCompletionListener close =
        ended -> {
          finish.run();
          close(records);
        };
    context.addTaskCompletionListener(close);
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
