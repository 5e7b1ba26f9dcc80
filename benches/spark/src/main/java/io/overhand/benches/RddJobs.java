package io.overhand.benches;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.apache.spark.HashPartitioner;
import org.apache.spark.Partitioner;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import scala.Tuple2;

/** Jobs on RDDs, whose records go through the application's serializer. */
final class RddJobs {
  private RddJobs() {}

  /** What a case class would be: a few fields, one of them a string. */
  static final class Item implements Serializable {
    private final long id;
    private final int count;
    private final double price;
    private final String name;

    Item(long row) {
      id = TeraRecord.random(row);
      count = (int) (row % 1000);
      price = row % 10_007 / 100.0;
      name = "item " + Long.toString(row % 1_000_003, 36);
    }

    /** The hash of all fields, that of the string by its text. */
    long hash(long key) {
      long hash = Check.hash(Check.hash(Check.hash(key, id), count), Double.doubleToLongBits(price));
      return Check.mixed(Check.hash(hash, name.hashCode()));
    }
  }

  /** Pairs of a Long and an object, by the hash of the key. */
  static Check records(SparkSession spark, long rows, int partitions, int maps) {
    return generated(spark, rows, maps, row -> new Tuple2<>(row, new Item(row)))
        .partitionBy(new HashPartitioner(partitions))
        .mapPartitions(part -> List.of(check(part)).iterator())
        .collect()
        .stream()
        .reduce(Check.NOTHING, Check::add);
  }

  private static Check check(Iterator<Tuple2<Long, Item>> records) {
    long count = 0;
    long sum = 0;
    for (; records.hasNext(); count++) {
      Tuple2<Long, Item> record = records.next();
      sum += record._2.hash(record._1);
    }
    return new Check(count, sum);
  }

  /** The TeraSort of RDDs without files: records are made in the map tasks, and checked where they come out. */
  static Check teraSort(SparkSession spark, long rows, int partitions, int maps) {
    TeraFile.Summary summary = generated(spark, rows, maps, RddJobs::teraRecord)
        .repartitionAndSortWithinPartitions(new EvenRanges(partitions), new TeraSort.Unsigned())
        .map(record -> TeraSort.joined(record._1, record._2))
        .mapPartitions(part -> List.of(TeraFile.summary(part)).iterator())
        .collect()
        .stream()
        .reduce(TeraFile.Summary::then)
        .orElseThrow();
    if (!summary.sorted()) {
      throw new IllegalStateException("the records are not sorted");
    }
    return new Check(summary.records(), summary.checksum());
  }

  private static Tuple2<byte[], byte[]> teraRecord(long row) {
    ByteBuffer record = ByteBuffer.allocate(TeraRecord.LENGTH);
    TeraRecord.generate(row, record);
    return new Tuple2<>(
        TeraFile.key(record.array()), Arrays.copyOfRange(record.array(), TeraRecord.KEY, TeraRecord.LENGTH));
  }

  /** Makes a record from its number. */
  private interface Maker<K, V> extends LongFunction<Tuple2<K, V>>, Serializable {}

  private static <K, V> JavaPairRDD<K, V> generated(
      SparkSession spark, long rows, int maps, Maker<K, V> maker) {
    return JavaSparkContext.fromSparkContext(spark.sparkContext())
        .parallelize(IntStream.range(0, maps).boxed().toList(), maps)
        .flatMapToPair(map -> LongStream.range(rows * map / maps, rows * (map + 1) / maps)
            .mapToObj(maker)
            .iterator());
  }

  /** Partitions by ranges of keys that are equally wide, for keys that are random. */
  private static final class EvenRanges extends Partitioner {
    private final int partitions;

    EvenRanges(int partitions) {
      this.partitions = partitions;
    }

    @Override
    public int numPartitions() {
      return partitions;
    }

    @Override
    public int getPartition(Object key) {
      long first = ByteBuffer.wrap((byte[]) key).getInt() & 0xFFFFFFFFL;
      return (int) (first * partitions >>> 32);
    }
  }
}
