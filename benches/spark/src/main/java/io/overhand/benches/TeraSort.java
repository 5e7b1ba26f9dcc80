package io.overhand.benches;

import static org.apache.spark.sql.functions.col;

import java.io.IOException;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.spark.Partitioner;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import scala.Tuple2;

/**
 * TeraSort on Spark: {@code gen FOLDER RECORDS PARTS}, {@code sort sql|rdd INPUT OUTPUT PARTITIONS}, {@code validate
 * FOLDER}.
 *
 * <p>Prints lines for a program to read: {@code progress STAGE DONE TOTAL} as tasks end, and at the end {@code result}
 * and a JSON object. Everything about Spark itself, the shuffle manager first, comes as system properties.
 */
public final class TeraSort {
  private static final int SAMPLES = 100_000;

  private TeraSort() {}

  /** Runs one of the three programs. */
  public static void main(String[] arguments) throws IOException {
    try (SparkSession spark =
        SparkSession.builder().appName("terasort " + arguments[0]).getOrCreate()) {
      JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
      Progress progress = new Progress(System.out);
      spark.sparkContext().addSparkListener(progress);
      Meter.awaitExecutors(spark.sparkContext());
      Meter meter = Meter.start();
      TeraFile.Summary summary =
          switch (arguments[0]) {
            case "gen" -> generate(
                context, arguments[1], Long.parseLong(arguments[2]), Integer.parseInt(arguments[3]));
            case "sort" -> arguments[1].equals("rdd")
                ? sortRecords(context, arguments[2], arguments[3], Integer.parseInt(arguments[4]))
                : sortRows(spark, context, arguments[2], arguments[3], Integer.parseInt(arguments[4]));
            case "validate" -> validate(context, arguments[1]);
            default -> throw new IllegalArgumentException(arguments[0] + " is none of gen, sort, validate");
          };
      Meter.Reading reading = meter.read();
      System.out.println("result "
          + reading.json()
              .put("records", summary.records())
              .put("checksum", Long.toHexString(summary.checksum()))
              .put("sorted", summary.sorted())
              .put("shuffle_bytes", progress.totals(spark.sparkContext()).shuffled()));
    }
  }

  private static TeraFile.Summary generate(JavaSparkContext context, String folder, long records, int parts)
      throws IOException {
    Files.createDirectories(Path.of(folder));
    return context
        .parallelize(IntStream.range(0, parts).boxed().toList(), parts)
        .map(part -> TeraFile.generate(
            TeraFile.part(folder, part), records * part / parts, records * (part + 1) / parts))
        .collect()
        .stream()
        .reduce(TeraFile.Summary::then)
        .orElseThrow();
  }

  private static TeraFile.Summary validate(JavaSparkContext context, String folder) throws IOException {
    List<String> files = TeraFile.parts(folder);
    return context.parallelize(files, files.size()).map(TeraFile::validate).collect().stream()
        .reduce(TeraFile.Summary::then)
        .orElseThrow();
  }

  private static JavaRDD<byte[]> input(JavaSparkContext context, String folder) throws IOException {
    List<String> files = TeraFile.parts(folder);
    return context.parallelize(files, files.size()).flatMap(TeraFile::read);
  }

  /** A global sort of Spark SQL: records as binary columns, key and value. */
  private static TeraFile.Summary sortRows(
      SparkSession spark, JavaSparkContext context, String from, String to, int partitions) throws IOException {
    spark.conf().set("spark.sql.shuffle.partitions", Integer.toString(partitions));
    spark.conf().set("spark.sql.adaptive.enabled", "false");
    JavaRDD<Row> sorted = spark.createDataset(input(context, from).rdd(), Encoders.BINARY())
        .selectExpr("substring(value, 1, 10) as key", "substring(value, 11) as value")
        .sort(col("key"))
        .toJavaRDD();
    return write(sorted.map(row -> joined(row.getAs(0), row.getAs(1))), to);
  }

  /** A shuffle of key-value records that Spark's RDDs sort within the partitions. */
  private static TeraFile.Summary sortRecords(JavaSparkContext context, String from, String to, int partitions)
      throws IOException {
    JavaPairRDD<byte[], byte[]> records = input(context, from)
        .mapToPair(record -> new Tuple2<>(
            TeraFile.key(record), Arrays.copyOfRange(record, TeraRecord.KEY, TeraRecord.LENGTH)));
    JavaPairRDD<byte[], byte[]> sorted = records.repartitionAndSortWithinPartitions(
        Ranges.sampled(TeraFile.parts(from), partitions), new Unsigned());
    return write(sorted.map(record -> joined(record._1, record._2)), to);
  }

  /** A whole record again. */
  static byte[] joined(byte[] key, byte[] value) {
    byte[] record = Arrays.copyOf(key, TeraRecord.LENGTH);
    System.arraycopy(value, 0, record, TeraRecord.KEY, value.length);
    return record;
  }

  private static TeraFile.Summary write(JavaRDD<byte[]> sorted, String folder) throws IOException {
    Files.createDirectories(Path.of(folder));
    Function2<Integer, Iterator<byte[]>, Iterator<Long>> write = (part, records) ->
        List.of(TeraFile.write(TeraFile.part(folder, part), records)).iterator();
    long records = sorted.mapPartitionsWithIndex(write, false).collect().stream()
        .mapToLong(Long::longValue)
        .sum();
    return new TeraFile.Summary(records, 0, false, null, null);
  }

  /** The order of keys. */
  static final class Unsigned implements Comparator<byte[]>, Serializable {
    @Override
    public int compare(byte[] left, byte[] right) {
      return Arrays.compareUnsigned(left, right);
    }
  }

  /** Partitions by ranges of keys with about as many records each. */
  private static final class Ranges extends Partitioner {
    private final byte[][] bounds;

    private Ranges(byte[][] bounds) {
      this.bounds = bounds;
    }

    /** Ranges from the first records of each file: their keys are random. */
    static Ranges sampled(List<String> files, int partitions) {
      List<byte[]> keys = new ArrayList<>();
      for (String file : files) {
        Iterator<byte[]> records = TeraFile.read(file);
        for (int i = 0; i <= SAMPLES / files.size() && records.hasNext(); i++) {
          keys.add(TeraFile.key(records.next()));
        }
      }
      keys.sort(new Unsigned());
      byte[][] bounds = new byte[partitions - 1][];
      for (int i = 1; i < partitions; i++) {
        bounds[i - 1] = keys.get((int) ((long) keys.size() * i / partitions));
      }
      return new Ranges(bounds);
    }

    @Override
    public int numPartitions() {
      return bounds.length + 1;
    }

    @Override
    public int getPartition(Object key) {
      int found = Arrays.binarySearch(bounds, (byte[]) key, Arrays::compareUnsigned);
      return found < 0 ? -found - 1 : found + 1;
    }
  }
}
