package io.overhand.spark.write;

import java.io.IOException;

import io.overhand.spark.OverhandShuffleHandle;
import io.overhand.spark.compat.MapStatuses;
import io.overhand.spark.compat.RowChecksums;
import io.overhand.spark.driver.MapOutputs;
import io.overhand.spark.jni.NativeClient;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.TaskContext;
import org.apache.spark.scheduler.MapStatus;
import org.apache.spark.shuffle.ShuffleWriteMetricsReporter;
import org.apache.spark.shuffle.ShuffleWriter;
import org.apache.spark.util.TaskCompletionListener;
import scala.Option;
import scala.Product2;
import scala.collection.Iterator;

/**
 * Writes the output of one map attempt.
 *
 * <p>When {@link #write} returns, every worker that got any of it has said that it holds exactly what was sent; only
 * then is there a map status. All memory is given back on every way out.
 */
public final class OverhandWriter<K, V, C> extends ShuffleWriter<K, V> {
  private final OverhandShuffleHandle<K, V, C> handle;
  private final NativeClient client;
  private final long mapId;
  private final TaskContext context;
  private final ShuffleWriteMetricsReporter metrics;

  private Output output;
  private long[] sizes;
  private long checksum;

  /** A writer for the attempt {@code mapId} of the map task that {@code context} is of. */
  public OverhandWriter(
      OverhandShuffleHandle<K, V, C> handle,
      NativeClient client,
      long mapId,
      TaskContext context,
      ShuffleWriteMetricsReporter metrics) {
    this.handle = handle;
    this.client = client;
    this.mapId = mapId;
    this.context = context;
    this.metrics = metrics;
  }

  @Override
  public void write(Iterator<Product2<K, V>> records) throws IOException {
    ShuffleDependency<K, V, C> dependency = handle.dependency();
    RowChecksums checksums = RowChecksums.of(dependency);
    Iterator<Product2<K, V>> input = combined(dependency, records);
    if (!input.hasNext()) {
      sizes = new long[handle.partitions()];
      checksum = checksums.value();
      return;
    }
    TaskCompletionListener close = ended -> closeOutput();
    context.addTaskCompletionListener(close);
    output = new Output(client, handle, context, mapId);
    long count = Encoders.of(dependency, output.arena(), context, checksums).encode(input);
    sizes = output.finish();
    checksum = checksums.value();
    long bytes = 0;
    for (long size : sizes) {
      bytes += size;
    }
    // How many rows there are decides about plans: this is not only for the eye.
    metrics.incRecordsWritten(count);
    metrics.incBytesWritten(bytes);
    metrics.incWriteTime(output.nanos());
    context.taskMetrics().incPeakExecutionMemory(output.peakMemory());
    closeOutput();
  }

  @Override
  public Option<MapStatus> stop(boolean success) {
    closeOutput();
    if (!success || sizes == null) {
      return Option.empty();
    }
    return Option.apply(
        MapStatuses.create(
            MapOutputs.location(handle.shuffleId(), context.partitionId(), mapId), sizes, mapId, checksum));
  }

  @Override
  public long[] getPartitionLengths() {
    return sizes;
  }

  private void closeOutput() {
    Output closed = output;
    output = null;
    if (closed != null) {
      closed.close();
    }
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  private Iterator<Product2<K, V>> combined(ShuffleDependency<K, V, C> dependency, Iterator<Product2<K, V>> records) {
    if (!dependency.mapSideCombine()) {
      return records;
    }
    return (Iterator) dependency.aggregator().get().combineValuesByKey(records, context);
  }
}
