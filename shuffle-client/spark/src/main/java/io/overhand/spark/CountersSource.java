package io.overhand.spark;

import java.util.function.Supplier;

import com.codahale.metrics.Gauge;
import com.codahale.metrics.MetricRegistry;
import io.overhand.spark.jni.Counters;
import org.apache.spark.SparkEnv;
import org.apache.spark.metrics.source.Source;

/** The native counters as a source of Spark's metrics. */
public final class CountersSource implements Source {
  private final String name;
  private final MetricRegistry registry = new MetricRegistry();

  /** A source whose gauges read {@code counters}. */
  public CountersSource(String name, Supplier<Counters> counters) {
    this.name = name;
    for (String counter : Counters.names()) {
      gauge(counter, () -> counters.get().get(counter));
    }
  }

  /** Adds a gauge. */
  public CountersSource gauge(String counter, Gauge<Long> value) {
    registry.register(counter, value);
    return this;
  }

  /** From now on Spark's sinks have it. */
  public void register() {
    SparkEnv.get().metricsSystem().registerSource(this);
  }

  @Override
  public String sourceName() {
    return name;
  }

  @Override
  public MetricRegistry metricRegistry() {
    return registry;
  }
}
