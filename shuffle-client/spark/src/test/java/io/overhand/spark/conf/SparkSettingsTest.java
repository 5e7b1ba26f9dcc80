package io.overhand.spark.conf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;

import io.overhand.spark.OverhandDataIO;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;

class SparkSettingsTest {
  @Test
  void saysWhatItChangesAndChangesItOnce() {
    SparkConf conf = new SparkConf(false).set("spark.shuffle.service.enabled", "true");
    List<String> changes = SparkSettings.apply(conf);
    assertEquals(SparkSettings.table().size(), changes.size());
    assertTrue(
        changes.stream().anyMatch(line -> line.startsWith("spark.shuffle.service.enabled = false (was true)")),
        changes.toString());
    assertEquals("false", conf.get("spark.shuffle.service.enabled"));
    assertEquals(OverhandDataIO.class.getName(), conf.get("spark.shuffle.sort.io.plugin.class"));
    assertTrue(SparkSettings.apply(conf).isEmpty());
  }

  @Test
  void keepsWhatTheUserHasSetWhereItOnlyCostsSpeed() {
    SparkConf conf = new SparkConf(false).set("spark.sql.adaptive.localShuffleReader.enabled", "true");
    SparkSettings.apply(conf);
    assertEquals("true", conf.get("spark.sql.adaptive.localShuffleReader.enabled"));
    assertEquals("false", conf.get("spark.shuffle.reduceLocality.enabled"));
  }

  @Test
  void refusesTheOldFetchProtocol() {
    SparkConf conf = new SparkConf(false).set("spark.shuffle.useOldFetchProtocol", "true");
    assertThrows(IllegalArgumentException.class, () -> SparkSettings.apply(conf));
  }

  @Test
  void theReferencePageNamesEverySetting() {
    String page = ReferencePage.text();
    for (ConfEntry<?> entry : OverhandConf.declared()) {
      assertTrue(page.contains("`" + entry.key() + "`"), entry.key());
    }
  }
}
