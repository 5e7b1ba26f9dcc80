package io.overhand.spark.compat;

import java.lang.reflect.Field;

import org.apache.spark.ShuffleDependency;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.sql.execution.metric.SQLMetric;

/**
 * What Spark's serializer of SQL rows knows and doesn't tell: how many fields a row has, and the metric that the
 * planner reads as the exchange's size. It is read once for each task.
 */
public final class RowSerializer {
  // By name: a job without SQL need not have these classes.
  private static final String SERIALIZER = "org.apache.spark.sql.execution.UnsafeRowSerializer";
  private static final String PARTITIONER = "org.apache.spark.PartitionIdPassthrough";

  private final int fields;
  private final SQLMetric dataSize;

  private RowSerializer(int fields, SQLMetric dataSize) {
    this.fields = fields;
    this.dataSize = dataSize;
  }

  /** Whether the records of a shuffle are SQL rows whose key is the partition. */
  public static boolean isRows(ShuffleDependency<?, ?, ?> dependency) {
    return dependency.serializer().getClass().getName().equals(SERIALIZER)
        && dependency.partitioner().getClass().getName().equals(PARTITIONER)
        && !dependency.mapSideCombine();
  }

  /** What {@code serializer}, which must be the one of SQL rows, knows. */
  public static RowSerializer of(Serializer serializer) {
    return new RowSerializer((Integer) field(serializer, "numFields"), (SQLMetric) field(serializer, "dataSize"));
  }

  /** How many fields a row has. */
  public int fields() {
    return fields;
  }

  /** Counts bytes of rows that were written. */
  public void addDataSize(long bytes) {
    if (dataSize != null) {
      dataSize.add(bytes);
    }
  }

  private static Object field(Serializer serializer, String name) {
    try {
      Field field = serializer.getClass().getDeclaredField(name);
      field.setAccessible(true);
      return field.get(serializer);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("this Spark's " + SERIALIZER + " has no " + name, e);
    }
  }
}
