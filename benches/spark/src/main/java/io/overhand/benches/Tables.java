package io.overhand.benches;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.expr;
import static org.apache.spark.sql.functions.udf;

import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.types.DataTypes;

/** What the SQL jobs shuffle, made from row numbers in the map tasks; the column `id` is the row's number. */
final class Tables {
  /** Odd, so that multiples of it are as many different numbers, which do not compress. */
  private static final long ODD = 0x9E3779B97F4A7C15L;

  private Tables() {}

  /** Rows of 104 bytes, 12 longs: half of the columns do not compress, the others are small numbers. */
  static Dataset<Row> wide(SparkSession spark, long rows, int maps) {
    Column[] columns = new Column[12];
    columns[0] = col("id");
    for (int i = 1; i < columns.length; i++) {
      columns[i] =
          i < 6 ? expr("id * " + (ODD * i | 1) + " as c" + i) : expr("id % " + (1000 * i + 1) + " as c" + i);
    }
    return spark.range(0, rows, 1, maps).select(columns);
  }

  /** Rows of 24 bytes, two longs, of which the second does not compress. */
  static Dataset<Row> narrow(SparkSession spark, long rows, int maps) {
    return spark.range(0, rows, 1, maps).select(col("id"), expr("id * " + ODD + " as c1"));
  }

  /** Rows with a string of 1 to 10 kB, which compresses about as text does. */
  static Dataset<Row> text(SparkSession spark, long rows, int maps) {
    UDF1<Long, String> words = Words::at;
    return spark.range(0, rows, 1, maps)
        .select(col("id"), udf(words, DataTypes.StringType).apply(col("id")).as("words"));
  }
}
