package io.overhand.suites;

import org.apache.spark.ShuffleSuite;

/**
 * Spark's own shuffle suite with our manager. The suite makes its
 * configuration without the system properties, so that every {@code spark.*} of them is copied into it here.
 */
public class OverhandShuffleSuite extends ShuffleSuite {
  public OverhandShuffleSuite() {
    for (String key : System.getProperties().stringPropertyNames()) {
      if (key.startsWith("spark.") && !key.equals("spark.testing") && !key.equals("spark.test.home")) {
        conf().set(key, System.getProperty(key));
      }
    }
  }
}
