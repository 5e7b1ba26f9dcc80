package io.overhand.oracle;

import static io.overhand.oracle.Job.Trait.CORE;
import static io.overhand.oracle.Job.Trait.LARGE;
import static io.overhand.oracle.Job.Trait.NO_RECORDS;
import static io.overhand.oracle.Job.Trait.READS_VARY;
import static io.overhand.oracle.Job.job;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.spark.Aggregator;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.HashPartitioner;
import org.apache.spark.Partitioner;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.serializer.JavaSerializer;
import org.apache.spark.serializer.KryoSerializer;
import org.apache.spark.serializer.Serializer;
import scala.Tuple2;

/** Jobs on RDDs: every way through the writer and the reader that is not SQL's. */
final class RddJobs {
  private RddJobs() {}

  static List<Job> all() {
    return List.of(
        job(
            "rdd-group-by-key",
            s -> Digest.of(pairs(s, 40_000).groupByKey(7).map(RddJobs::plain)),
            CORE),
        job(
            "rdd-reduce-by-key",
            s -> Digest.of(
                pairs(s, 60_000).reduceByKey(RddJobs::longer, 6).map(RddJobs::plain)),
            CORE),
        job("rdd-aggregate-by-key", RddJobs::aggregateByKey),
        job(
            "rdd-sort-by-key",
            s -> Digest.ordered(unique(s, 30_000).sortByKey(true, 6).map(RddJobs::plain)),
            READS_VARY),
        job("rdd-join", RddJobs::join),
        job("rdd-cogroup", RddJobs::cogroup),
        job(
            "rdd-subtract-by-key",
            s -> Digest.of(pairs(s, 20_000)
                .subtractByKey(unique(s, 300), 4)
                .map(RddJobs::plain))),
        job(
            "rdd-repartition",
            s -> Digest.of(
                numbers(s, 30_000).map(i -> "record " + i).repartition(9))),
        job(
            "rdd-distinct",
            s -> Digest.of(numbers(s, 30_000).map(i -> i % 1009).distinct(5))),
        job("rdd-partition-by-java-serializer", s -> partitionBy(s, new JavaSerializer(new SparkConf())), CORE),
        job("rdd-partition-by-kryo-serializer", s -> partitionBy(s, kryo()), CORE),
        job("rdd-map-side-combine-java", s -> combine(s, new JavaSerializer(new SparkConf()), true), CORE),
        job("rdd-map-side-combine-kryo", s -> combine(s, kryo(), true)),
        job("rdd-reduce-side-combine-java", s -> combine(s, new JavaSerializer(new SparkConf()), false)),
        job("rdd-reduce-side-combine-kryo", s -> combine(s, kryo(), false)),
        job("rdd-key-ordering-java", s -> keyOrdering(s, new JavaSerializer(new SparkConf()))),
        job("rdd-key-ordering-kryo", s -> keyOrdering(s, kryo()), CORE),
        job("rdd-null-keys-and-values", RddJobs::nulls),
        job("rdd-shared-references", RddJobs::sharedReferences),
        job("rdd-primitive-keys", RddJobs::primitives),
        job("rdd-empty-partitions", RddJobs::emptyPartitions, CORE),
        job(
            "rdd-zero-maps",
            s -> Digest.of(s.context()
                .<Tuple2<String, String>>emptyRDD()
                .mapToPair(t -> t)
                .groupByKey(5)
                .map(RddJobs::plain)),
            NO_RECORDS),
        job(
            "rdd-one-map-to-3000-partitions",
            s -> Digest.of(pairs(s, 5000)
                .coalesce(1)
                .mapToPair(t -> t)
                .partitionBy(new HashPartitioner(3000))
                .coalesce(10)
                .map(RddJobs::plain))),
        job(
            "rdd-records-beyond-buffers-java",
            s -> beyondBuffers(s, new JavaSerializer(new SparkConf())),
            LARGE),
        job("rdd-records-beyond-buffers-kryo", s -> beyondBuffers(s, kryo()), LARGE),
        job("rdd-barrier-after-shuffle", RddJobs::barrier),
        job("rdd-read-twice", RddJobs::readTwice));
  }

  /** Kryo with room for the largest record of these jobs. */
  static Serializer kryo() {
    return new KryoSerializer(new SparkConf().set("spark.kryoserializer.buffer.max", "512m"));
  }

  static JavaRDD<Integer> numbers(Session session, int count) {
    return session.context()
        .parallelize(IntStream.range(0, 4).boxed().toList(), 4)
        .flatMap(part -> IntStream.range(part * count / 4, (part + 1) * count / 4)
            .iterator());
  }

  /** Some hundred keys, texts of varying length. */
  static JavaPairRDD<String, String> pairs(Session session, int count) {
    return numbers(session, count).mapToPair(i -> new Tuple2<>("key " + i % 331, text(i)));
  }

  private static JavaPairRDD<String, String> unique(Session session, int count) {
    return numbers(session, count).mapToPair(i -> new Tuple2<>("key " + Integer.reverse(i), text(i)));
  }

  private static String text(int i) {
    return Long.toHexString(Digest.mix(i)).repeat(1 + i % 5);
  }

  private static <K, V> Tuple2<K, V> plain(Tuple2<K, V> record) {
    return record;
  }

  private static String longer(String a, String b) {
    return a.length() != b.length() ? (a.length() > b.length() ? a : b) : a.compareTo(b) > 0 ? a : b;
  }

  private static Outcome aggregateByKey(Session session) {
    return Digest.of(pairs(session, 40_000)
        .aggregateByKey(0L, 5, (sum, text) -> sum + text.length(), Long::sum)
        .map(RddJobs::plain));
  }

  private static Outcome join(Session session) {
    return Digest.of(pairs(session, 10_000)
        .join(unique(session, 200).mapToPair(t -> new Tuple2<>("key " + t._2.length() % 50, t._2)), 6)
        .map(RddJobs::plain));
  }

  private static Outcome cogroup(Session session) {
    return Digest.of(pairs(session, 10_000)
        .cogroup(unique(session, 3000), pairs(session, 500), 6)
        .map(t -> t));
  }

  private static Outcome partitionBy(Session session, Serializer serializer) {
    return Digest.of(Shuffled.<String, String, String>by(pairs(session, 40_000), new HashPartitioner(11))
        .serializer(serializer)
        .records());
  }

  private static Outcome combine(Session session, Serializer serializer, boolean mapSide) {
    var create = (scala.Function1<String, Integer> & Serializable) String::length;
    var merge = (scala.Function2<Integer, String, Integer> & Serializable) (sum, text) -> sum + text.length();
    var combine = (scala.Function2<Integer, Integer, Integer> & Serializable) Integer::sum;
    return Digest.of(Shuffled.<String, String, Integer>by(pairs(session, 40_000), new HashPartitioner(5))
        .serializer(serializer)
        .aggregator(new Aggregator<>(create, merge, combine), mapSide)
        .records());
  }

  /** Within a partition the keys come in order; the digest sees the order, as each key goes to one partition. */
  private static Outcome keyOrdering(Session session, Serializer serializer) {
    JavaRDD<Tuple2<String, String>> sorted = Shuffled.<String, String, String>by(
            unique(session, 30_000), new HashPartitioner(5))
        .serializer(serializer)
        .keyOrdering((Comparator<String> & Serializable) Comparator.<String>naturalOrder()::compare)
        .records();
    return Digest.ordered(sorted);
  }

  private static Outcome nulls(Session session) {
    JavaPairRDD<String, String> holes = numbers(session, 20_000)
        .mapToPair(i -> new Tuple2<>(i % 3 == 0 ? null : "key " + i % 50, i % 4 == 0 ? null : text(i)));
    JavaRDD<Tuple2<String, String>> java = Shuffled.<String, String, String>by(holes, new HashPartitioner(4))
        .serializer(new JavaSerializer(new SparkConf()))
        .records();
    JavaRDD<Tuple2<String, String>> kryo = Shuffled.<String, String, String>by(holes, new HashPartitioner(4))
        .serializer(kryo())
        .records();
    return Digest.of(java)
        .and(Digest.of(kryo))
        .and(Digest.of(holes.groupByKey(3).map(RddJobs::plain)));
  }

  /** Java's serialization writes a repeated object as a reference back into its stream: streams must stay whole. */
  private static Outcome sharedReferences(Session session) {
    JavaPairRDD<Integer, List<Object>> shared = numbers(session, 4000).mapPartitionsToPair(part -> {
      List<Object> common = new ArrayList<>(List.of("a common part", 42L, new int[] {1, 2, 3}.length));
      List<Tuple2<Integer, List<Object>>> records = new ArrayList<>();
      part.forEachRemaining(i -> records.add(new Tuple2<>(i % 17, Arrays.asList(common, "own " + i, common))));
      return records.iterator();
    });
    return Digest.of(Shuffled.<Integer, List<Object>, List<Object>>by(shared, new HashPartitioner(6))
        .serializer(new JavaSerializer(new SparkConf()))
        .records());
  }

  private static Outcome primitives(Session session) {
    return Digest.of(numbers(session, 40_000)
            .mapToPair(i -> new Tuple2<>((long) i % 1013, (double) i))
            .reduceByKey(Math::max, 6)
            .map(RddJobs::plain))
        .and(Digest.of(numbers(session, 10_000)
            .mapToPair(i -> new Tuple2<>(i, new byte[i % 100]))
            .partitionBy(new HashPartitioner(3))
            .map(RddJobs::plain)));
  }

  private static Outcome emptyPartitions(Session session) {
    return Digest.of(pairs(session, 20_000).partitionBy(new Sparse()).map(RddJobs::plain))
        .and(Digest.of(pairs(session, 3).partitionBy(new Sparse()).map(RddJobs::plain)));
  }

  /** A partitioner that uses three of its forty partitions. */
  private static final class Sparse extends Partitioner {
    @Override
    public int numPartitions() {
      return 40;
    }

    @Override
    public int getPartition(Object key) {
      return 39 - Math.floorMod(key.hashCode(), 3) * 13;
    }
  }

  /** Values of 1 byte, 70 KB, 5 MB and 40 MB that do not compress. */
  private static Outcome beyondBuffers(Session session, Serializer serializer) {
    JavaPairRDD<Integer, byte[]> records = session.context()
        .parallelize(List.of(0, 1), 2)
        .mapPartitionsToPair(part -> {
          List<Integer> sizes = List.of(1, 70_000, 5_000_000, 1, 40_000_000, 3);
          int seed = part.next();
          return IntStream.range(0, sizes.size())
              .mapToObj(i -> {
                byte[] bytes = new byte[sizes.get(i)];
                new Random(seed * 100L + i).nextBytes(bytes);
                return new Tuple2<>(i, bytes);
              })
              .iterator();
        });
    return Digest.of(Shuffled.<Integer, byte[], byte[]>by(records, new HashPartitioner(3))
        .serializer(serializer)
        .records());
  }

  private static Outcome barrier(Session session) {
    JavaRDD<String> shuffled =
        pairs(session, 5000).partitionBy(new HashPartitioner(2)).map(t -> t._1 + t._2);
    var body =
        (scala.Function1<scala.collection.Iterator<String>, scala.collection.Iterator<String>> & Serializable)
            records -> {
              BarrierTaskContext.get().barrier();
              return records;
            };
    scala.reflect.ClassTag<String> tag = scala.reflect.ClassTag$.MODULE$.apply(String.class);
    JavaRDD<String> together =
        shuffled.rdd().barrier().mapPartitions(body, false, tag).toJavaRDD();
    return Digest.of(together)
        .and(Digest.of(together.mapToPair(t -> new Tuple2<>(t.substring(0, 6), t))
            .groupByKey(3)
            .map(RddJobs::plain)));
  }

  /** The second job finds the map outputs of the first, and reads them by two readers at once. */
  private static Outcome readTwice(Session session) {
    JavaPairRDD<String, String> shuffled = pairs(session, 20_000).partitionBy(new HashPartitioner(4));
    Iterator<Outcome> outcomes = List.of(
            Digest.of(shuffled.map(RddJobs::plain)),
            Digest.of(shuffled.union(shuffled).map(RddJobs::plain)))
        .iterator();
    return outcomes.next().and(outcomes.next());
  }
}
