package io.overhand.benches;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.util.Scanner;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;

/**
 * One Spark application that runs jobs as it is told, so that two of them, with different shuffle managers, can take
 * turns.
 *
 * <p>Reads lines {@code NAME ROWS PARTITIONS} from standard input; answers each with {@code result} and a JSON object,
 * or with {@code error} and a text; ends with its input. Everything about Spark itself comes as system properties.
 */
public final class BenchSession {
  private BenchSession() {}

  /** Runs until the input ends. */
  public static void main(String[] arguments) throws IOException {
    SparkConf conf = new SparkConf()
        .setAppName("bench")
        .set("spark.sql.adaptive.enabled", "false")
        .set("spark.sql.ansi.enabled", "false");
    try (SparkSession spark = SparkSession.builder().config(conf).getOrCreate();
        Scanner commands = new Scanner(System.in)) {
      Progress progress = new Progress(new PrintStream(OutputStream.nullOutputStream()));
      spark.sparkContext().addSparkListener(progress);
      Meter.awaitExecutors(spark.sparkContext());
      System.out.println("ready");
      while (commands.hasNextLine()) {
        String[] command = commands.nextLine().split(" ");
        try {
          System.out.println("result "
              + run(
                  spark,
                  progress,
                  command[0],
                  Long.parseLong(command[1]),
                  Integer.parseInt(command[2])));
        } catch (RuntimeException e) {
          e.printStackTrace();
          System.out.println(
              "error " + String.valueOf(e).lines().findFirst().orElse(""));
        }
      }
    }
  }

  private static ObjectNode run(SparkSession spark, Progress progress, String name, long rows, int partitions) {
    // What earlier jobs left is collected before the clock starts; Spark's cleaner then drops their shuffles.
    System.gc();
    long bytesBefore = progress.shuffleBytes(spark.sparkContext());
    Meter meter = Meter.start();
    BenchJobs.Check check = BenchJobs.run(name, spark, rows, partitions);
    Meter.Reading reading = meter.read();
    return reading.json()
        .put("rows", check.rows())
        .put("check", Long.toHexString(check.sum()))
        .put("shuffle_bytes", progress.shuffleBytes(spark.sparkContext()) - bytesBefore);
  }
}
