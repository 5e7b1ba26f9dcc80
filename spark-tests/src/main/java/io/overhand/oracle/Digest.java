package io.overhand.oracle;

import java.io.Serializable;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeProjection;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.sql.catalyst.expressions.XXH64;
import org.apache.spark.sql.execution.QueryExecution;
import org.apache.spark.sql.types.StructType;
import scala.Product;

/**
 * Digests of a job's rows, made where the rows are and without another shuffle: a sum of the rows' hashes when their
 * order does not matter, a polynomial of them when it does (so that it does not depend on where one partition ends).
 */
public final class Digest {
  private static final long BASE = 0x9E3779B97F4A7C15L;

  private Digest() {}

  /** A part's contribution: `power` is the base to the number of rows, which shifts what came before. */
  private static final class Part implements Serializable {
    static final Part EMPTY = new Part(0, 0, 0, 1);

    private final long rows;
    private final long sum;
    private final long ordered;
    private final long power;

    // No record class: Kryo, which some jobs serialize their results with, can't write one.
    Part(long rows, long sum, long ordered, long power) {
      this.rows = rows;
      this.sum = sum;
      this.ordered = ordered;
      this.power = power;
    }

    Part add(long hash) {
      return new Part(rows + 1, sum + hash, ordered * BASE + hash, power * BASE);
    }

    Part then(Part next) {
      return new Part(rows + next.rows, sum + next.sum, ordered * next.power + next.ordered, power * next.power);
    }
  }

  /** The digest of the rows in any order. */
  public static Outcome of(Dataset<Row> rows) {
    Part total = total(rows);
    return new Outcome(total.rows, total.sum);
  }

  /** The digest of the rows in their order. */
  public static Outcome ordered(Dataset<Row> rows) {
    Part total = total(rows);
    return new Outcome(total.rows, total.ordered);
  }

  /** The digest of the records in any order; so are the elements of an Iterable within a record. */
  static <T> Outcome of(JavaRDD<T> records) {
    Part total = total(records);
    return new Outcome(total.rows, total.sum);
  }

  /** The digest of the records in their order. */
  static <T> Outcome ordered(JavaRDD<T> records) {
    Part total = total(records);
    return new Outcome(total.rows, total.ordered);
  }

  /** The plan of a query: the method is on another class in each line of Spark. */
  static QueryExecution execution(Dataset<Row> rows) {
    try {
      return (QueryExecution) rows.getClass().getMethod("queryExecution").invoke(rows);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("a Dataset has a queryExecution in every line", e);
    }
  }

  private static Part total(Dataset<Row> rows) {
    StructType schema = rows.schema();
    List<Part> parts = execution(rows)
        .toRdd()
        .toJavaRDD()
        .mapPartitions(part -> List.of(ofRows(part, schema)).iterator())
        .collect();
    return parts.stream().reduce(Part.EMPTY, Part::then);
  }

  private static <T> Part total(JavaRDD<T> records) {
    List<Part> parts = records.mapPartitions(part -> {
          Part digest = Part.EMPTY;
          while (part.hasNext()) {
            digest = digest.add(hash(part.next()));
          }
          return List.of(digest).iterator();
        })
        .collect();
    return parts.stream().reduce(Part.EMPTY, Part::then);
  }

  private static Part ofRows(Iterator<InternalRow> rows, StructType schema) {
    UnsafeProjection projection = null;
    Part digest = Part.EMPTY;
    while (rows.hasNext()) {
      InternalRow row = rows.next();
      if (!(row instanceof UnsafeRow)) {
        projection = projection == null ? UnsafeProjection.create(schema) : projection;
        row = projection.apply(row);
      }
      UnsafeRow bytes = (UnsafeRow) row;
      digest = digest.add(
          XXH64.hashUnsafeBytes(bytes.getBaseObject(), bytes.getBaseOffset(), bytes.getSizeInBytes(), 42));
    }
    return digest;
  }

  static long mix(long value) {
    long mixed = (value ^ (value >>> 33)) * 0xFF51AFD7ED558CCDL;
    return (mixed ^ (mixed >>> 29)) * 0xC4CEB9FE1A85EC53L;
  }

  private static long hash(Object value) {
    if (value == null) {
      return 0x5bd1e995;
    } else if (value instanceof byte[] bytes) {
      return XXH64.hashUnsafeBytes(bytes, org.apache.spark.unsafe.Platform.BYTE_ARRAY_OFFSET, bytes.length, 7);
    } else if (value instanceof String text) {
      return hash(text.getBytes(java.nio.charset.StandardCharsets.UTF_8)) + 1;
    } else if (value instanceof Map<?, ?> map) {
      return map.entrySet().stream()
          .mapToLong(e -> mix(hash(e.getKey()) * 31 + hash(e.getValue())))
          .sum();
    } else if (value instanceof Iterable<?> elements) {
      long sum = 17;
      for (Object element : elements) {
        sum += mix(hash(element));
      }
      return mix(sum);
    } else if (value instanceof Product product) {
      long hash = product.productArity();
      for (int i = 0; i < product.productArity(); i++) {
        hash = mix(hash * 31 + hash(product.productElement(i)));
      }
      return hash;
    } else {
      return mix(
          value.hashCode() + 0x1234567L * value.getClass().getName().hashCode());
    }
  }
}
