package io.overhand.spark.conf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;

import io.overhand.spark.OverhandDataIO;
import io.overhand.spark.sql.OverhandExtensions;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;

class SparkSettingsTest {
  private static final OverhandConf OVERHAND = overhand(new SparkConf(false));

  private static OverhandConf overhand(SparkConf conf) {
    return new OverhandConf(conf.set("spark.overhand.coordinators", "127.0.0.1:7337"));
  }

  @Test
  void saysWhatItChangesAndChangesItOnce() {
    SparkConf conf = new SparkConf(false).set("spark.shuffle.service.enabled", "true");
    List<String> changes = SparkSettings.apply(conf, OVERHAND);
    assertEquals(SparkSettings.table().size(), changes.size());
    assertTrue(
        changes.stream().anyMatch(line -> line.startsWith("spark.shuffle.service.enabled = false (was true)")),
        changes.toString());
    assertEquals("false", conf.get("spark.shuffle.service.enabled"));
    assertEquals(OverhandDataIO.class.getName(), conf.get("spark.shuffle.sort.io.plugin.class"));
    assertTrue(SparkSettings.apply(conf, OVERHAND).isEmpty());
  }

  @Test
  void keepsWhatTheUserHasSetWhereItOnlyCostsSpeed() {
    SparkConf conf = new SparkConf(false).set("spark.sql.adaptive.localShuffleReader.enabled", "true");
    SparkSettings.apply(conf, OVERHAND);
    assertEquals("true", conf.get("spark.sql.adaptive.localShuffleReader.enabled"));
    assertEquals("false", conf.get("spark.shuffle.reduceLocality.enabled"));
  }

  @Test
  void addsItsExtensionToThoseOfOthersUnlessToldNotTo() {
    SparkConf conf = new SparkConf(false).set("spark.sql.extensions", "com.example.Theirs");
    SparkSettings.apply(conf, overhand(new SparkConf(false).set("spark.overhand.sql.exchange", "false")));
    assertEquals("com.example.Theirs", conf.get("spark.sql.extensions"));
    SparkSettings.apply(conf, OVERHAND);
    assertEquals("com.example.Theirs," + OverhandExtensions.class.getName(), conf.get("spark.sql.extensions"));
  }

  @Test
  void refusesTheOldFetchProtocol() {
    SparkConf conf = new SparkConf(false).set("spark.shuffle.useOldFetchProtocol", "true");
    assertThrows(IllegalArgumentException.class, () -> SparkSettings.apply(conf, OVERHAND));
  }

  @Test
  void theReferencePageNamesEverySetting() {
    String page = ReferencePage.text();
    for (ConfEntry<?> entry : OverhandConf.declared()) {
      assertTrue(page.contains("`" + entry.key() + "`"), entry.key());
    }
  }
}
