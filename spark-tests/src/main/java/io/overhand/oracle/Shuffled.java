package io.overhand.oracle;

import java.io.Serializable;
import java.util.Comparator;
import org.apache.spark.Aggregator;
import org.apache.spark.Partitioner;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.rdd.ShuffledRDD;
import org.apache.spark.serializer.Serializer;
import scala.Option;
import scala.Tuple2;
import scala.math.Ordering;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/** Spark's ShuffledRDD with everything said explicitly: serializer, aggregation, ordering of the keys. */
final class Shuffled<K, V, C> {
  private final ShuffledRDD<K, V, C> rdd;

  private Shuffled(ShuffledRDD<K, V, C> rdd) {
    this.rdd = rdd;
  }

  static <K, V, C> Shuffled<K, V, C> by(JavaPairRDD<K, V> pairs, Partitioner partitioner) {
    return new Shuffled<>(
        new ShuffledRDD<>(pairs.rdd(), partitioner, Shuffled.<K>tag(), Shuffled.<V>tag(), Shuffled.<C>tag()));
  }

  Shuffled<K, V, C> serializer(Serializer serializer) {
    rdd.setSerializer(serializer);
    return this;
  }

  Shuffled<K, V, C> aggregator(Aggregator<K, V, C> aggregator, boolean mapSideCombine) {
    rdd.setAggregator(aggregator);
    rdd.setMapSideCombine(mapSideCombine);
    return this;
  }

  <O extends Comparator<K> & Serializable> Shuffled<K, V, C> keyOrdering(O comparator) {
    rdd.setKeyOrdering(Ordering.comparatorToOrdering(comparator));
    return this;
  }

  JavaRDD<Tuple2<K, C>> records() {
    return rdd.toJavaRDD();
  }

  Option<Partitioner> partitioner() {
    return rdd.partitioner();
  }

  @SuppressWarnings("unchecked")
  private static <T> ClassTag<T> tag() {
    return (ClassTag<T>) ClassTag$.MODULE$.AnyRef();
  }
}
