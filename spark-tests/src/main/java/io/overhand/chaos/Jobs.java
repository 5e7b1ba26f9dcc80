package io.overhand.chaos;

import static org.apache.spark.sql.functions.callUDF;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.expr;
import static org.apache.spark.sql.functions.udf;

import io.overhand.oracle.Digest;
import io.overhand.oracle.Outcome;
import java.util.Map;
import org.apache.spark.SparkEnv;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.types.DataTypes;

/** The jobs. Their rows follow from the rows' numbers, so that every run has the same. */
final class Jobs {
  private static final String BYTES_PER_REDUCE_TASK = "8m";

  private Jobs() {}

  /** Runs a job; what it came to says everything about its rows, their order included where the job makes one. */
  static Outcome run(String name, SparkSession spark, Size size) {
    spark.conf().set("spark.sql.shuffle.partitions", Integer.toString(size.partitions()));
    spark.conf().set("spark.sql.autoBroadcastJoinThreshold", "-1");
    // Many partitions, so that a shuffle has shards on every worker; few reduce tasks, each of which reads several.
    spark.conf().set("spark.sql.adaptive.coalescePartitions.parallelismFirst", "false");
    spark.conf().set("spark.sql.adaptive.advisoryPartitionSizeInBytes", BYTES_PER_REDUCE_TASK);
    spark.udf().register("gated", udf(new Gated(), DataTypes.LongType).asNondeterministic());
    return switch (name) {
      case "terasort" -> Digest.ordered(teraSort(spark, size));
      case "join" -> Digest.of(join(spark, size));
      default -> throw new IllegalArgumentException(name + " is none of terasort, join");
    };
  }

  /** A global sort of records as TeraGen makes them: a random key of 10 bytes, a value of 90. */
  private static Dataset<Row> teraSort(SparkSession spark, Size size) {
    return spark.range(0, size.rows(), 1, size.maps())
        .select(callUDF("gated", col("id")).as("id"))
        .select(
            expr("substring(unhex(md5(cast(id as string))), 1, 10) as key"),
            expr("encode(concat('..', lpad(hex(id), 32, '0'), '....', repeat(lpad(hex(xxhash64(id)), 13, '0'), 4)),"
                + " 'US-ASCII') as value"))
        .sort("key");
  }

  /** The revenue of each customer, by priority of the order: TPC-H's three largest tables, joined and aggregated. */
  private static Dataset<Row> join(SparkSession spark, Size size) {
    long orders = size.rows() / 4;
    long customers = Math.max(1, size.rows() / 40);
    Map<String, Dataset<Row>> tables = Map.of(
        "lineitem",
            spark.range(0, size.rows(), 1, size.maps())
                .select(callUDF("gated", col("id")).as("id"))
                .selectExpr(
                    "pmod(xxhash64(id, 1), " + orders + ") as l_orderkey",
                    "id % 7 as l_linenumber",
                    "90000 + pmod(xxhash64(id, 2), 10000000) as l_extendedprice",
                    "pmod(xxhash64(id, 3), 11) as l_discount",
                    "concat('packed by ', hex(xxhash64(id, 4)), ' and left at the door') as l_comment"),
        "orders",
            spark.range(0, orders, 1, size.maps() / 2)
                .selectExpr(
                    "id as o_orderkey",
                    "pmod(xxhash64(id, 5), " + customers + ") as o_custkey",
                    "concat(pmod(xxhash64(id, 6), 5), '-PRIORITY') as o_orderpriority"),
        "customer",
            spark.range(0, customers, 1, Math.max(1, size.maps() / 4))
                .selectExpr("id as c_custkey", "concat('Customer#', lpad(id, 9, '0')) as c_name"));
    tables.forEach((name, table) -> table.createOrReplaceTempView(name));
    return spark.sql("select c_custkey, c_name, o_orderpriority, count(*) as items, max(l_comment) as comment,"
        + " sum(l_extendedprice * (100 - l_discount)) as revenue"
        + " from lineitem join orders on l_orderkey = o_orderkey join customer on o_custkey = c_custkey"
        + " group by c_custkey, c_name, o_orderpriority");
  }

  /** Gives each row's number back, and stops at one of them. */
  private static final class Gated implements UDF1<Long, Long> {
    private transient Long stopAt;

    @Override
    public Long call(Long row) {
      if (stopAt == null) {
        stopAt = SparkEnv.get().conf().getLong(Gate.ROW, -1);
      }
      if (stopAt.equals(row)) {
        Gate.pass("row");
      }
      return row;
    }
  }
}
