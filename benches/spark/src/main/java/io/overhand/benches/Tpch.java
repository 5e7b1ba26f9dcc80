package io.overhand.benches;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/** The queries of TPC-H. A folder holds a Parquet file for each table, and each query's text in a file. */
final class Tpch {
  private static final List<String> TABLES =
      List.of("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier");

  private Tpch() {}

  /** Runs the query in a file and collects its rows on the driver, as an application does. */
  static Check run(SparkSession spark, String file) {
    Path query = Path.of(file);
    if (!spark.catalog().tableExists(TABLES.get(0))) {
      for (String table : TABLES) {
        Path parquet = query.resolveSibling(table + ".parquet");
        spark.read().parquet(parquet.toString()).createOrReplaceTempView(table);
      }
    }
    List<Row> rows = spark.sql(text(query)).collectAsList();
    long sum = rows.stream().mapToLong(Tpch::hash).sum();
    return new Check(rows.size(), sum);
  }

  /** Of the row's values as text: decimals and dates are exact in it. */
  private static long hash(Row row) {
    return Check.mixed(row.mkString("|").chars().asLongStream().reduce(0, Check::hash));
  }

  private static String text(Path query) {
    try {
      return Files.readString(query);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
