package io.overhand.spark.conf;

import java.util.ArrayList;
import java.util.List;

import org.apache.spark.SparkConf;

/**
 * What Spark's own settings must be for a shuffle that is not on the executors: each is set in the driver's conf before
 * anything reads it, and every change is told. Those that only cost speed stay as the user has set them.
 */
public final class SparkSettings {
  private static final Setting[] NEEDED = {
    needed(
        "spark.shuffle.sort.io.plugin.class",
        "io.overhand.spark.OverhandDataIO",
        "map outputs outlive their executors"),
    better("spark.shuffle.reduceLocality.enabled", "false", "no executor is nearer to the data than another"),
    better(
        "spark.sql.adaptive.localShuffleReader.enabled",
        "false",
        "data is stored by partition, so that reading by map task only costs"),
    needed(
        "spark.dynamicAllocation.shuffleTracking.enabled",
        "false",
        "executors that have written map outputs need not be kept"),
    needed("spark.shuffle.service.enabled", "false", "there are no shuffle files to serve"),
    needed("spark.shuffle.push.enabled", "false", "map outputs are merged by the workers"),
    needed("spark.storage.decommission.shuffleBlocks.enabled", "false", "there are no shuffle files to move"),
  };

  /** A list: what others have put there stays. */
  private static final String EXTENSIONS = "spark.sql.extensions";

  private static final String EXTENSION = "io.overhand.spark.sql.OverhandExtensions";
  private static final String WHY_EXTENSION =
      "reduce tasks of SQL are sent only what they need, unless `" + OverhandConf.SQL_EXCHANGE.key() + "` is false";

  private SparkSettings() {}

  /**
   * Sets what is needed, and what {@code overhand} asks for; returns a line for each change.
   *
   * @throws IllegalArgumentException if a setting is on that can't work
   */
  public static List<String> apply(SparkConf conf, OverhandConf overhand) {
    if (conf.getBoolean("spark.shuffle.useOldFetchProtocol", false)) {
      throw new IllegalArgumentException(
          "spark.shuffle.useOldFetchProtocol=true names map outputs by map index only, so that a retry could not be"
              + " told from what it replaces: remove the setting");
    }
    List<String> changes = new ArrayList<>();
    for (Setting setting : NEEDED) {
      String before = conf.get(setting.key, null);
      boolean kept = before != null && !setting.required;
      if (!kept && !setting.value.equals(before)) {
        conf.set(setting.key, setting.value);
        String was = before == null ? "" : " (was " + before + ")";
        changes.add(setting.key + " = " + setting.value + was + ": " + setting.why);
      }
    }
    List<String> extensions = Values.names(conf.get(EXTENSIONS, ""));
    if (overhand.sqlExchange() && !extensions.contains(EXTENSION)) {
      List<String> all = new ArrayList<>(extensions);
      all.add(EXTENSION);
      conf.set(EXTENSIONS, String.join(",", all));
      changes.add(EXTENSIONS + " = " + conf.get(EXTENSIONS) + ": " + WHY_EXTENSION);
    }
    return changes;
  }

  /** The table of the reference page: key, value, whether it is kept where the user has set it, reason. */
  static List<String[]> table() {
    List<String[]> rows = new ArrayList<>();
    for (Setting setting : NEEDED) {
      rows.add(new String[] {setting.key, setting.value, setting.required ? "no" : "yes", setting.why});
    }
    rows.add(new String[] {EXTENSIONS, EXTENSION, "yes, beside it", WHY_EXTENSION});
    return rows;
  }

  private static Setting needed(String key, String value, String why) {
    return new Setting(key, value, true, why);
  }

  private static Setting better(String key, String value, String why) {
    return new Setting(key, value, false, why);
  }

  private static final class Setting {
    private final String key;
    private final String value;
    /** Whether it must be so whatever the user has set. */
    private final boolean required;

    private final String why;

    Setting(String key, String value, boolean required, String why) {
      this.key = key;
      this.value = value;
      this.required = required;
      this.why = why;
    }
  }
}
