package io.overhand.benches;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.spark.SparkContext;

/**
 * Measures what happens on this machine between {@link #start} and {@link #read}: wall seconds, and the CPU seconds and
 * peak resident memory of the driver (this process), of the executors (its children), and of the shuffle servers, whose
 * process ids are in the system property {@code overhand.server.pid}, with commas, if there are any. All from /proc; the
 * processes must live throughout.
 */
final class Meter {
  private static final double TICKS_PER_SECOND = 100;

  /** What was measured, by kind of process. */
  record Reading(double wallSeconds, Map<String, Double> cpuSeconds, Map<String, Double> peakMegabytes) {
    ObjectNode json() {
      ObjectMapper mapper = new ObjectMapper();
      ObjectNode json = mapper.createObjectNode();
      json.put("wall_s", round(wallSeconds))
          .put("cpu_s", round(sum(cpuSeconds)))
          .put("peak_mb", Math.round(sum(peakMegabytes)));
      cpuSeconds.forEach((kind, seconds) -> json.put("cpu_" + kind + "_s", round(seconds)));
      peakMegabytes.forEach((kind, megabytes) -> json.put("peak_" + kind + "_mb", Math.round(megabytes)));
      return json;
    }

    private static double sum(Map<String, Double> values) {
      return values.values().stream().mapToDouble(Double::doubleValue).sum();
    }

    private static double round(double value) {
      return Math.round(value * 1000) / 1000.0;
    }
  }

  private final long begun = System.nanoTime();
  private final Map<Long, Double> cpuBefore = new HashMap<>();

  private Meter() {
    kinds().forEach((pid, kind) -> {
      cpuBefore.put(pid, cpuSeconds(pid));
      resetPeak(pid);
    });
  }

  static Meter start() {
    return new Meter();
  }

  /** Waits until the application has as many executors as it asked for, so that their start is not measured. */
  static void awaitExecutors(SparkContext context) {
    String master = context.master();
    int executors = master.startsWith("local-cluster[") ? Integer.parseInt(master.split("[\\[,]")[1].strip()) : 0;
    while (context.getExecutorIds().size() < executors) {
      LockSupport.parkNanos(20_000_000);
    }
  }

  Reading read() {
    double wall = (System.nanoTime() - begun) / 1e9;
    Map<String, Double> cpu = new HashMap<>();
    Map<String, Double> peak = new HashMap<>();
    kinds().forEach((pid, kind) -> {
      cpu.merge(kind, cpuSeconds(pid) - cpuBefore.getOrDefault(pid, 0.0), Double::sum);
      peak.merge(kind, peakMegabytes(pid), Double::sum);
    });
    return new Reading(wall, cpu, peak);
  }

  /** The processes that count, by id. */
  private static Map<Long, String> kinds() {
    Map<Long, String> kinds = new HashMap<>();
    kinds.put(ProcessHandle.current().pid(), "driver");
    ProcessHandle.current().descendants().forEach(process -> kinds.put(process.pid(), "executors"));
    for (String server : System.getProperty("overhand.server.pid", "").split(",")) {
      if (!server.isBlank()) {
        kinds.put(Long.valueOf(server.strip()), "server");
      }
    }
    return kinds;
  }

  /** User and system time, from fields 14 and 15 of stat; the name in field 2 may hold spaces. */
  private static double cpuSeconds(long pid) {
    String stat = read(pid, "stat");
    String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
    return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND;
  }

  private static double peakMegabytes(long pid) {
    return read(pid, "status")
            .lines()
            .filter(line -> line.startsWith("VmHWM:"))
            .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
            .sum()
        / 1024.0;
  }

  private static void resetPeak(long pid) {
    try {
      Files.writeString(Path.of("/proc/" + pid + "/clear_refs"), "5");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String read(long pid, String file) {
    try {
      return Files.readString(Path.of("/proc/" + pid + "/" + file));
    } catch (IOException e) {
      throw new UncheckedIOException("a process that is measured ended", e);
    }
  }
}
