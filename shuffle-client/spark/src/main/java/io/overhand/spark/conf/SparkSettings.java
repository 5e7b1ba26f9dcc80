package io.overhand.spark.conf;

import java.util.ArrayList;
import java.util.List;

import org.apache.spark.SparkConf;

/**
 * What Spark's own settings must be for a shuffle that is not on the executors: each is set in the driver's conf before
 * anything reads it, and every change is told.
 */
public final class SparkSettings {
  private static final Setting[] NEEDED = {
    new Setting(
        "spark.shuffle.sort.io.plugin.class",
        "io.overhand.spark.OverhandDataIO",
        "map outputs outlive their executors"),
    new Setting(
        "spark.shuffle.reduceLocality.enabled", "false", "no executor is nearer to the data than another"),
    new Setting(
        "spark.sql.adaptive.localShuffleReader.enabled",
        "false",
        "data is stored by partition, so that reading by map task only costs"),
    new Setting(
        "spark.dynamicAllocation.shuffleTracking.enabled",
        "false",
        "executors that have written map outputs need not be kept"),
    new Setting("spark.shuffle.service.enabled", "false", "there are no shuffle files to serve"),
    new Setting("spark.shuffle.push.enabled", "false", "map outputs are merged by the workers"),
    new Setting(
        "spark.storage.decommission.shuffleBlocks.enabled", "false", "there are no shuffle files to move"),
  };

  private SparkSettings() {}

  /**
   * Sets what is needed; returns a line for each change.
   *
   * @throws IllegalArgumentException if a setting is on that can't work
   */
  public static List<String> apply(SparkConf conf) {
    if (conf.getBoolean("spark.shuffle.useOldFetchProtocol", false)) {
      throw new IllegalArgumentException(
          "spark.shuffle.useOldFetchProtocol=true names map outputs by map index only, so that a retry could not be"
              + " told from what it replaces: remove the setting");
    }
    List<String> changes = new ArrayList<>();
    for (Setting setting : NEEDED) {
      String before = conf.get(setting.key, null);
      if (!setting.value.equals(before)) {
        conf.set(setting.key, setting.value);
        String was = before == null ? "" : " (was " + before + ")";
        changes.add(setting.key + " = " + setting.value + was + ": " + setting.why);
      }
    }
    return changes;
  }

  /** The table of the reference page: key, value, reason. */
  static List<String[]> table() {
    List<String[]> rows = new ArrayList<>();
    for (Setting setting : NEEDED) {
      rows.add(new String[] {setting.key, setting.value, setting.why});
    }
    return rows;
  }

  private static final class Setting {
    private final String key;
    private final String value;
    private final String why;

    Setting(String key, String value, String why) {
      this.key = key;
      this.value = value;
      this.why = why;
    }
  }
}
