package io.overhand.benches;

import java.io.Serializable;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.sql.execution.QueryExecution;
import org.apache.spark.unsafe.Platform;

/**
 * What a job gives, to be compared with what it gives on another shuffle: the number of its rows and the sum of their
 * hashes, which knows no order. No record class: Kryo can't write one.
 */
final class Check implements Serializable {
  static final Check NOTHING = new Check(0, 0);
  private static final long ODD = 0x9E3779B97F4A7C15L;

  private final long rows;
  private final long sum;

  Check(long rows, long sum) {
    this.rows = rows;
    this.sum = sum;
  }

  long rows() {
    return rows;
  }

  long sum() {
    return sum;
  }

  Check add(Check other) {
    return new Check(rows + other.rows, sum + other.sum);
  }

  /** Reads all rows of a query where they are, in the executors. */
  static Check of(Dataset<Row> rows) {
    return execution(rows)
        .toRdd()
        .toJavaRDD()
        .mapPartitions(part -> List.of(of(part)).iterator())
        .collect()
        .stream()
        .reduce(NOTHING, Check::add);
  }

  /** The hash of a row's words, goes on from `hash`. */
  static long hash(long hash, long word) {
    return hash * ODD + word;
  }

  /** The last step of a hash: mixes its halves. */
  static long mixed(long hash) {
    return hash ^ (hash >>> 31);
  }

  private static Check of(Iterator<InternalRow> rows) {
    long count = 0;
    long sum = 0;
    while (rows.hasNext()) {
      UnsafeRow row = (UnsafeRow) rows.next();
      Object base = row.getBaseObject();
      long at = row.getBaseOffset();
      long hash = 0;
      for (long end = at + row.getSizeInBytes(); at < end; at += 8) {
        hash = hash(hash, Platform.getLong(base, at));
      }
      sum += mixed(hash);
      count++;
    }
    return new Check(count, sum);
  }

  /** The plan of a query: the method is on another class in each line of Spark. */
  private static QueryExecution execution(Dataset<Row> rows) {
    try {
      return (QueryExecution) rows.getClass().getMethod("queryExecution").invoke(rows);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("a Dataset has a queryExecution in every line", e);
    }
  }
}
