package io.overhand.spark.read;

import java.util.Optional;

import io.overhand.spark.compat.RowSerializer;
import io.overhand.spark.driver.DriverSide;
import io.overhand.spark.jni.NativeClient;
import org.apache.spark.Aggregator;
import org.apache.spark.InterruptibleIterator;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.TaskContext;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.shuffle.ShuffleReadMetricsReporter;
import org.apache.spark.shuffle.ShuffleReader;
import org.apache.spark.sql.catalyst.InternalRow;
import scala.Product2;
import scala.collection.Iterator;
import scala.math.Ordering;

/** Reads a range of partitions, of a range of map tasks: what the tracker says is valid, and nothing else. */
public final class OverhandReader<K, C> implements ShuffleReader<K, C> {
  private final ShuffleDependency<K, ?, C> dependency;
  private final ReadScope scope;
  private final NativeClient client;
  private final DriverSide driver;
  private final TaskContext context;
  private final ShuffleReadMetricsReporter metrics;

  /** A reader of what {@code scope} says. */
  public OverhandReader(
      ShuffleDependency<K, ?, C> dependency,
      ReadScope scope,
      NativeClient client,
      DriverSide driver,
      TaskContext context,
      ShuffleReadMetricsReporter metrics) {
    this.dependency = dependency;
    this.scope = scope;
    this.client = client;
    this.driver = driver;
    this.context = context;
    this.metrics = metrics;
  }

  /** SQL rows of {@code fields} fields: all that a task needs that knows no dependency. */
  public static Iterator<InternalRow> rows(
      ReadScope scope,
      int fields,
      NativeClient client,
      DriverSide driver,
      TaskContext context,
      ShuffleReadMetricsReporter metrics) {
    Optional<Input> input = Input.open(scope, client, driver, context, metrics);
    if (!input.isPresent()) {
      return new NoRecords<>();
    }
    RowIterator rows = new RowIterator(input.get(), fields, context);
    input.get().closeWithTask(rows, rows::finish);
    return rows;
  }

  @Override
  @SuppressWarnings({"unchecked", "rawtypes"})
  public Iterator<Product2<K, C>> read() {
    if (RowSerializer.isRows(dependency)) {
      int fields = RowSerializer.of(dependency.serializer()).fields();
      return (Iterator) new RowPairs(rows(scope, fields, client, driver, context, metrics));
    }
    Iterator records = new InterruptibleIterator(context, records());
    if (dependency.aggregator().isDefined()) {
      Aggregator aggregator = dependency.aggregator().get();
      records =
          dependency.mapSideCombine()
              ? aggregator.combineCombinersByKey(records, context)
              : aggregator.combineValuesByKey(records, context);
    }
    if (dependency.keyOrdering().isDefined()) {
      Ordering ordering = dependency.keyOrdering().get();
      records =
          new InterruptibleIterator(
              context, SortedRecords.of(records, ordering, dependency.serializer(), context));
    }
    return records;
  }

  private Iterator<Product2<Object, Object>> records() {
    Optional<Input> input = Input.open(scope, client, driver, context, metrics);
    if (!input.isPresent()) {
      return new NoRecords<>();
    }
    Serializer serializer = dependency.serializer();
    RecordIterator records =
        new RecordIterator(
            input.get(), serializer.newInstance(), serializer.supportsRelocationOfSerializedObjects());
    input.get().closeWithTask(records, records::finish);
    return records;
  }
}
