package io.overhand.spark.read;

import io.overhand.spark.OverhandShuffleHandle;
import io.overhand.spark.compat.ExternalSorters;
import io.overhand.spark.compat.RowSerializer;
import io.overhand.spark.driver.DriverSide;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.jni.ReadRequest;
import org.apache.spark.Aggregator;
import org.apache.spark.InterruptibleIterator;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.TaskContext;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.shuffle.ShuffleReadMetricsReporter;
import org.apache.spark.shuffle.ShuffleReader;
import org.apache.spark.util.TaskCompletionListener;
import org.apache.spark.util.collection.ExternalSorter;
import scala.Option;
import scala.Product2;
import scala.collection.Iterator;

/** Reads a range of partitions, of a range of map tasks: what the tracker says is valid, and nothing else. */
public final class OverhandReader<K, C> implements ShuffleReader<K, C> {
  private final OverhandShuffleHandle<K, ?, C> handle;
  private final NativeClient client;
  private final DriverSide driver;
  private final int startMap;
  private final int endMap;
  private final int startPartition;
  private final int endPartition;
  private final TaskContext context;
  private final ShuffleReadMetricsReporter metrics;

  /** A reader of half-open ranges; {@code endMap} may be {@code Integer.MAX_VALUE}, for all. */
  public OverhandReader(
      OverhandShuffleHandle<K, ?, C> handle,
      NativeClient client,
      DriverSide driver,
      int startMap,
      int endMap,
      int startPartition,
      int endPartition,
      TaskContext context,
      ShuffleReadMetricsReporter metrics) {
    this.handle = handle;
    this.client = client;
    this.driver = driver;
    this.startMap = startMap;
    this.endMap = endMap;
    this.startPartition = startPartition;
    this.endPartition = endPartition;
    this.context = context;
    this.metrics = metrics;
  }

  @Override
  @SuppressWarnings({"unchecked", "rawtypes"})
  public Iterator<Product2<K, C>> read() {
    ShuffleDependency<K, ?, C> dependency = handle.dependency();
    Iterator records = new InterruptibleIterator(context, records());
    if (dependency.aggregator().isDefined()) {
      Aggregator aggregator = dependency.aggregator().get();
      records =
          dependency.mapSideCombine()
              ? aggregator.combineCombinersByKey(records, context)
              : aggregator.combineValuesByKey(records, context);
    }
    if (dependency.keyOrdering().isDefined()) {
      ExternalSorter sorter =
          ExternalSorters.create(
              context, Option.empty(), (Option) dependency.keyOrdering(), dependency.serializer());
      records = new InterruptibleIterator(context, sorter.insertAllAndUpdateMetrics(records));
    }
    return records;
  }

  private Iterator<Product2<Object, Object>> records() {
    Expected expected = Expected.of(handle.shuffleId(), startMap, endMap, startPartition, endPartition);
    if (expected.count() == 0) {
      return new NoRecords<>();
    }
    Input input = open(expected);
    Serializer serializer = handle.dependency().serializer();
    Runnable finish;
    Iterator<Product2<Object, Object>> records;
    if (RowSerializer.isRows(handle.dependency())) {
      RowIterator rows = new RowIterator(input, RowSerializer.of(serializer).fields());
      finish = rows::finish;
      records = rows;
    } else {
      RecordIterator objects =
          new RecordIterator(input, serializer.newInstance(), serializer.supportsRelocationOfSerializedObjects());
      finish = objects::finish;
      records = objects;
    }
    TaskCompletionListener close =
        ended -> {
          finish.run();
          input.close(records);
        };
    context.addTaskCompletionListener(close);
    return records;
  }

  private Input open(Expected expected) {
    ReadRequest request = new ReadRequest(startPartition, endPartition, startMap, endMap, expected.numbers());
    ReaderMemory memory = ReaderMemory.of(context, expected.bytes(), client.readerMemory());
    try {
      return new Input(
          new Losses(handle.shuffleId(), startPartition, expected, driver),
          context,
          metrics,
          client,
          client.reader(handle.placement(), request, context::isInterrupted),
          memory);
    } catch (RuntimeException e) {
      memory.close();
      throw e;
    }
  }
}
