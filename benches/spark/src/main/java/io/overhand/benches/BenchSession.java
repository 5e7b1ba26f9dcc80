package io.overhand.benches;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.util.Scanner;
import org.apache.spark.sql.SparkSession;

/**
 * One Spark application that runs jobs as it is told, so that two of them, with different shuffle managers, can take
 * turns.
 *
 * <p>Reads lines {@code NAME ROWS PARTITIONS MAPS [ARGUMENT]} from standard input; answers each with {@code result} and
 * a JSON object, or with {@code error} and a text; ends with its input. Everything about Spark itself comes as system
 * properties.
 */
public final class BenchSession {
  private BenchSession() {}

  /** Runs until the input ends. */
  public static void main(String[] arguments) throws IOException {
    try (SparkSession spark = SparkSession.builder().appName("bench").getOrCreate();
        Scanner commands = new Scanner(System.in)) {
      Progress progress = new Progress(new PrintStream(OutputStream.nullOutputStream()));
      spark.sparkContext().addSparkListener(progress);
      Meter.awaitExecutors(spark.sparkContext());
      System.out.println("ready");
      while (commands.hasNextLine()) {
        try {
          System.out.println("result " + run(spark, progress, commands.nextLine().split(" ", 5)));
        } catch (RuntimeException e) {
          e.printStackTrace();
          System.out.println(
              "error " + String.valueOf(e).lines().findFirst().orElse(""));
        }
      }
    }
  }

  private static ObjectNode run(SparkSession spark, Progress progress, String[] command) {
    long rows = Long.parseLong(command[1]);
    int partitions = Integer.parseInt(command[2]);
    int maps = Integer.parseInt(command[3]);
    String argument = command.length > 4 ? command[4] : "";
    // What earlier jobs left is collected before the clock starts; Spark's cleaner then drops their shuffles.
    System.gc();
    Progress.Totals before = progress.totals(spark.sparkContext());
    Meter meter = Meter.start();
    Check check = BenchJobs.run(command[0], spark, rows, partitions, maps, argument);
    Meter.Reading reading = meter.read();
    Progress.Totals tasks = progress.totals(spark.sparkContext()).since(before);
    return reading.json()
        .put("rows", check.rows())
        .put("check", Long.toHexString(check.sum()))
        .put("map_tasks", tasks.mapTasks())
        .put("shuffle_bytes", tasks.shuffled())
        .put("spilled_memory_bytes", tasks.spilledMemory())
        .put("spilled_disk_bytes", tasks.spilledDisk())
        .set("calls", Calls.read(spark.sparkContext()));
  }
}
