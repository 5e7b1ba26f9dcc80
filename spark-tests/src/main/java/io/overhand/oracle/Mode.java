package io.overhand.oracle;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.serializer.KryoSerializer;

/**
 * A way in which a table of jobs is run through Overhand.
 *
 * @param conf what is configured otherwise than by default
 * @param twoHosts whether the executors must seem to be on two hosts
 * @param flags flags of the server
 * @param service what there is of a server
 * @param jobs the jobs to run
 */
record Mode(
    String name, Map<String, String> conf, boolean twoHosts, List<String> flags, Service service, List<Job> jobs) {
  /** Whether there is a server, and what is expected if there is none. */
  enum Service {
    RUNNING,
    /** Every shuffle goes through Spark's own, with a warning. */
    NONE_AND_FALLBACK,
    /** Every shuffle fails at once, with an error that says why. */
    NONE_AND_FAILURE
  }

  private static final String CODEC = "spark.overhand.compression.codec";

  /** All modes, in the order in which they run. */
  static List<Mode> all() {
    List<Job> table = new ArrayList<>(SqlJobs.all());
    table.addAll(RddJobs.all());
    List<Job> usual = table.stream().filter(job -> !job.is(Job.Trait.LARGE)).toList();
    List<Job> core = table.stream().filter(job -> job.is(Job.Trait.CORE)).toList();
    // The least memory that a server takes, and flushed from 1 % on: nearly every block goes through a segment.
    List<String> tiny =
        List.of("--memory-budget", "32MiB", "--set", "memory.high_mark=0.01", "--set", "memory.low_mark=0.001");
    return List.of(
        running("lz4", Map.of(CODEC, "lz4"), List.of(), table),
        running("small-memory", Map.of(), tiny, usual),
        running("zstd", Map.of(CODEC, "zstd"), List.of(), core),
        running("none", Map.of(CODEC, "none"), List.of(), core),
        running("encrypted", Map.of("spark.io.encryption.enabled", "true"), List.of(), core),
        running("sparks-exchange", Map.of("spark.overhand.sql.exchange", "false"), List.of(), core),
        running(
            "kryo",
            Map.of(
                "spark.serializer",
                KryoSerializer.class.getName(),
                "spark.kryoserializer.buffer.max",
                "512m"),
            List.of(),
            RddJobs.all().stream()
                .filter(job ->
                    !job.is(Job.Trait.LARGE) && !job.name().endsWith("-java"))
                .toList()),
        running("task-failures", Map.of(), List.of(), TaskFailureJobs.all()),
        onTwoHosts(
            "speculation",
            Map.of(
                "spark.speculation",
                "true",
                "spark.speculation.interval",
                "50ms",
                "spark.speculation.multiplier",
                "1.1",
                "spark.speculation.quantile",
                "0.5"),
            TaskFailureJobs.speculative()),
        running(
            "small-budget",
            Map.of(CODEC, "none"),
            List.of("--memory-budget", "32MiB"),
            ServiceJobs.larger()),
        running("damage", Map.of(), tiny, ServiceJobs.damaged()),
        running("durable", Map.of(), List.of("--durability", "disk"), ServiceJobs.durable()),
        running("deletion", Map.of(), tiny, ServiceJobs.deleted()),
        running(
            "dynamic-allocation",
            Map.of(
                "spark.dynamicAllocation.enabled",
                "true",
                "spark.dynamicAllocation.minExecutors",
                "0",
                "spark.dynamicAllocation.maxExecutors",
                "2",
                "spark.dynamicAllocation.executorIdleTimeout",
                "1s",
                "spark.dynamicAllocation.schedulerBacklogTimeout",
                "1s"),
            List.of(),
            ServiceJobs.dynamic()),
        new Mode(
            "no-server-auto",
            Map.of("spark.overhand.fallback", "auto"),
            false,
            List.of(),
            Service.NONE_AND_FALLBACK,
            core.subList(0, 3)),
        new Mode(
            "no-server-never",
            Map.of("spark.overhand.fallback", "never"),
            false,
            List.of(),
            Service.NONE_AND_FAILURE,
            core.subList(0, 1)));
  }

  private static Mode running(String name, Map<String, String> conf, List<String> flags, List<Job> jobs) {
    Map<String, String> all = new HashMap<>(conf);
    all.put("spark.overhand.fallback", "never");
    return new Mode(name, all, false, flags, Service.RUNNING, jobs);
  }

  private static Mode onTwoHosts(String name, Map<String, String> conf, List<Job> jobs) {
    return new Mode(name, running(name, conf, List.of(), jobs).conf(), true, List.of(), Service.RUNNING, jobs);
  }

  Mode only(List<Job> some) {
    return new Mode(name, conf, twoHosts, flags, service, some);
  }
}
