package io.overhand.chaos;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.overhand.oracle.Outcome;
import io.overhand.oracle.TaskCounter;
import java.util.Locale;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;

/**
 * One Spark application that runs one job, and stops in a named phase of it until it is told to go on: {@code
 * terasort|join ROWS MAPS PARTITIONS PHASE}, where the phase is one of {@link Phase}'s.
 *
 * <p>Prints lines for a program to read: {@code progress STAGE DONE TOTAL} as tasks end, {@code phase NAME} when it
 * stops, {@code result} with a JSON object when the job is done; then {@code phase end}, and it waits once more before
 * the application ends. It goes on at a line {@code go} on standard input, and at its end. Everything about Spark
 * itself, the shuffle manager first, comes as system properties.
 */
public final class Chaos {
  private Chaos() {}

  /** Runs the job. The exit status says whether it came to an end, not whether its rows are right. */
  public static void main(String[] arguments) throws Exception {
    Size size = new Size(
        Long.parseLong(arguments[1]), Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]));
    Phase phase = Phase.valueOf(arguments[4].toUpperCase(Locale.ROOT));
    try (Gatekeeper keeper = new Gatekeeper(phase, System.out)) {
      SparkConf conf = new SparkConf()
          .setAppName("chaos " + arguments[0])
          .set("spark.plugins", GatePlugin.class.getName())
          .set(Gate.ADDRESS, keeper.address())
          .set(Gate.ROW, Long.toString(phase.row(size)));
      boolean ended;
      try (SparkSession spark = SparkSession.builder().config(conf).getOrCreate()) {
        ended = run(spark, keeper, arguments[0], size);
        keeper.stop("end");
      }
      System.exit(ended ? 0 : 1);
    }
  }

  private static boolean run(SparkSession spark, Gatekeeper keeper, String job, Size size) throws Exception {
    TaskCounter counter = new TaskCounter();
    spark.sparkContext().addSparkListener(counter);
    keeper.follow(spark.sparkContext());
    ObjectNode result = new ObjectMapper().createObjectNode();
    long begun = System.nanoTime();
    boolean ended = true;
    try {
      Outcome outcome = Jobs.run(job, spark, size);
      result.put("rows", outcome.rows()).put("digest", Long.toHexString(outcome.digest()));
    } catch (Exception e) {
      e.printStackTrace();
      result.put("error", firstLine(e));
      ended = false;
    }
    double seconds = (System.nanoTime() - begun) / 1e9;
    spark.sparkContext().listenerBus().waitUntilEmpty(60_000);
    TaskCounter.Counts counts = counter.counts();
    System.out.println("result "
        + result.put("wall_s", Math.round(seconds * 10) / 10.0)
            .put("redone", counts.redone())
            .put("failed", counts.failed())
            .put("fetch_failures", counts.fetchFailures())
            .put("stages_repeated", counts.stagesRepeated())
            .put("executors_lost", counts.executorsLost())
            .put("shuffle_bytes", counts.bytesWritten()));
    return ended;
  }

  private static String firstLine(Exception e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse(e.getClass().getSimpleName());
  }
}
