package io.overhand.benches;

import com.codahale.metrics.Gauge;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.Serializable;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.metrics.source.Source;
import scala.Function1;
import scala.Tuple2;
import scala.collection.Iterator;
import scala.reflect.ClassTag$;

/** What the driver and each executor have asked of others so far, as Overhand's sources of Spark's metrics say it. */
final class Calls {
  private static final String DRIVER = "OverhandApplication";
  private static final String EXECUTOR = "OverhandClient";

  private Calls() {}

  /** The counters so far, by {@code driver} and the executors' ids; an empty object through Spark's own shuffle. */
  static ObjectNode read(SparkContext context) {
    ObjectMapper mapper = new ObjectMapper();
    ObjectNode all = mapper.createObjectNode();
    Map<String, Long> driver = counters(DRIVER);
    if (!driver.isEmpty()) {
      all.set("driver", mapper.valueToTree(driver));
      executors(context).forEach(one -> all.set(one._1(), mapper.valueToTree(one._2())));
    }
    return all;
  }

  /**
   * The executors' ids with their counters. A task on each executor at the same time, which a barrier sees to: each has
   * one core.
   */
  @SuppressWarnings("unchecked")
  private static List<Tuple2<String, HashMap<String, Long>>> executors(SparkContext context) {
    int executors = context.getExecutorIds().size();
    List<Integer> numbers = IntStream.range(0, executors).boxed().toList();
    Function1<Iterator<Integer>, Iterator<Tuple2<String, HashMap<String, Long>>>> count =
        (Function1<Iterator<Integer>, Iterator<Tuple2<String, HashMap<String, Long>>>> & Serializable)
            nothing -> scala.collection.Iterator$.MODULE$.single(
                new Tuple2<>(SparkEnv.get().executorId(), counters(EXECUTOR)));
    Object found = new JavaSparkContext(context)
        .parallelize(numbers, executors)
        .rdd()
        .barrier()
        .mapPartitions(count, false, ClassTag$.MODULE$.apply(Tuple2.class))
        .collect();
    Tuple2<String, HashMap<String, Long>>[] all = (Tuple2<String, HashMap<String, Long>>[]) found;
    Arrays.sort(all, Comparator.comparing(Tuple2::_1));
    return List.of(all);
  }

  private static HashMap<String, Long> counters(String source) {
    HashMap<String, Long> counters = new HashMap<>();
    Iterator<Source> sources = SparkEnv.get().metricsSystem().getSourcesByName(source).iterator();
    while (sources.hasNext()) {
      sources.next().metricRegistry().getGauges().forEach((name, gauge) -> counters.put(name, value(gauge)));
    }
    return counters;
  }

  private static Long value(Gauge<?> gauge) {
    return ((Number) gauge.getValue()).longValue();
  }
}
