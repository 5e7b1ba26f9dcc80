package io.overhand.spark.jni;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** What a client or an application has asked of others, by name. */
public final class Counters {
  /** Nothing was asked of anybody. */
  static final Counters NONE = new Counters(new long[0]);

  private static List<String> names;

  private final long[] values;

  Counters(long[] values) {
    this.values = values;
  }

  /** The names of all counters. */
  public static synchronized List<String> names() {
    if (names == null) {
      NativeLibrary.load();
      names = Collections.unmodifiableList(Arrays.asList(Native.counterNames().split(",")));
    }
    return names;
  }

  /**
   * One of them.
   *
   * @throws IllegalArgumentException if there is none of that name
   */
  public long get(String name) {
    int at = names().indexOf(name);
    if (at < 0) {
      throw new IllegalArgumentException("there is no counter " + name);
    }
    return at < values.length ? values[at] : 0;
  }
}
