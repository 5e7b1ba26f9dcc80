package io.overhand.spark.conf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;

import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;

class OverhandConfTest {
  private static SparkConf conf(String... settings) {
    SparkConf conf = new SparkConf(false).set("spark.overhand.coordinators", "a:1, b:2");
    for (int i = 0; i < settings.length; i += 2) {
      conf.set(settings[i], settings[i + 1]);
    }
    return conf;
  }

  private static String refusal(SparkConf conf) {
    return assertThrows(IllegalArgumentException.class, () -> new OverhandConf(conf)).getMessage();
  }

  @Test
  void hasADefaultForEverythingButTheCoordinators() {
    OverhandConf conf = new OverhandConf(conf());
    assertEquals(Arrays.asList("a:1", "b:2"), conf.coordinators());
    assertEquals(Fallback.AUTO, conf.fallback());
    assertEquals(Codec.LZ4, conf.codec());
    assertEquals(64L << 20, conf.writerMemory());
    assertEquals(5000, conf.connectTimeoutMillis());
    assertEquals(10_000, conf.silenceMillis());
    assertEquals(0, conf.replicas());
    assertEquals(Collections.emptyList(), conf.tags());
  }

  @Test
  void readsReplicasTagsAndSilence() {
    OverhandConf conf =
        new OverhandConf(
            conf("spark.overhand.replicas", "2", "spark.overhand.tags", "ssd, fast,", "spark.overhand.silence", "2s"));
    assertEquals(2, conf.replicas());
    assertEquals(Arrays.asList("ssd", "fast"), conf.tags());
    assertEquals(2000, conf.silenceMillis());
  }

  @Test
  void saysThatTheCoordinatorsAreMissing() {
    assertTrue(refusal(new SparkConf(false)).contains("spark.overhand.coordinators is not set"));
  }

  @Test
  void namesTheNearestOfAnUnknownSetting() {
    String message = refusal(conf("spark.overhand.compresion.codec", "zstd"));
    assertTrue(message.contains("no setting spark.overhand.compresion.codec"), message);
    assertTrue(message.contains("did you mean spark.overhand.compression.codec?"), message);
  }

  @Test
  void namesAllThatIsWrongAtOnce() {
    String message =
        refusal(
            conf(
                "spark.overhand.fallback", "maybe",
                "spark.overhand.coordinators", "nowhere",
                "spark.overhand.writer.memory", "1k",
                "spark.overhand.replicas", "4",
                "spark.overhand.silence", "500ms",
                "spark.overhand.connect.timeout", "soon"));
    for (String key :
        new String[] {"fallback", "coordinators", "writer.memory", "connect.timeout", "replicas", "silence"}) {
      assertTrue(message.contains("spark.overhand." + key), message);
    }
  }

  @Test
  void takesTheCodecFromSparkUnlessItIsSet() {
    assertEquals(Codec.NONE, new OverhandConf(conf("spark.shuffle.compress", "false")).codec());
    assertEquals(Codec.ZSTD, new OverhandConf(conf("spark.io.compression.codec", "zstd")).codec());
    assertEquals(Codec.LZ4, new OverhandConf(conf("spark.io.compression.codec", "snappy")).codec());
    assertEquals(
        Codec.LZ4,
        new OverhandConf(conf("spark.shuffle.compress", "false", "spark.overhand.compression.codec", "LZ4")).codec());
  }
}
