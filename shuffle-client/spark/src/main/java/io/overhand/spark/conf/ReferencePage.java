package io.overhand.spark.conf;

import java.io.PrintStream;
import java.io.UnsupportedEncodingException;

/** Prints {@code docs/reference/spark-configuration.md}. */
public final class ReferencePage {
  private ReferencePage() {}

  /** Prints the page. */
  public static void main(String[] args) throws UnsupportedEncodingException {
    new PrintStream(System.out, true, "UTF-8").print(text());
  }

  static String text() {
    StringBuilder page = new StringBuilder();
    page.append("# Spark configuration\n\n");
    page.append("<!-- Generated from the plugin's code by `make docs`. -->\n\n");
    page.append("Two settings switch Overhand on:\n\n```\n");
    page.append("spark.shuffle.manager        io.overhand.spark.OverhandShuffleManager\n");
    page.append("spark.overhand.coordinators  host:port\n```\n\n");
    page.append("A `spark.overhand.*` key that isn't in this table is refused.\n\n");
    page.append("| setting | values | default | what it does |\n|---|---|---|---|\n");
    for (ConfEntry<?> entry : OverhandConf.declared()) {
      String value = entry.defaultText().isEmpty() ? "" : "`" + entry.defaultText() + "`";
      page.append("| `").append(entry.key()).append("` | ").append(entry.kind()).append(" | ").append(value);
      page.append(" | ").append(entry.doc()).append(" |\n");
    }
    page.append("\n## What is set for you\n\n");
    page.append("The driver sets these, and logs a line for each that it changes:\n\n");
    page.append("| setting | value | yours is kept | why |\n|---|---|---|---|\n");
    for (String[] row : SparkSettings.table()) {
      page.append("| `").append(row[0]).append("` | `").append(row[1]).append("` | ");
      page.append(row[2]).append(" | ").append(row[3]).append(" |\n");
    }
    page.append("\n`spark.shuffle.useOldFetchProtocol=true` is refused.\n");
    page.append("\n## Memory of an executor\n\n");
    page.append("Outside the heap, an executor with `n` task slots uses at most\n\n```\n");
    page.append("n * (1.5 * writer.memory + r * reader.memory) + 64m\n```\n\n");
    page.append("where `r` is the number of shuffles that one task reads at once (1, or 2 for a join), the half of ");
    page.append("writer.memory is what is kept of a finished task for the next one, and the 64m are threads, code ");
    page.append("and connections. Add it to `spark.executor.memoryOverhead`, whose default knows nothing of it. With ");
    page.append("`spark.memory.offHeap.enabled=true` writers and readers ask Spark's memory manager, tasks get by ");
    page.append("with less when that is short, and only `n * 0.5 * writer.memory + 64m` are to be added.\n");
    return page.toString();
  }
}
