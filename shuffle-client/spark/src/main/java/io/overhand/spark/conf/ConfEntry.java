package io.overhand.spark.conf;

import java.util.function.Function;

/**
 * One setting: its key, its default as text, what it is for, and how its text becomes a value.
 *
 * @param <T> the value
 */
public final class ConfEntry<T> {
  private final String key;
  private final String kind;
  private final String defaultText;
  private final String doc;
  private final Function<String, T> parser;

  ConfEntry(String key, String kind, String defaultText, String doc, Function<String, T> parser) {
    this.key = key;
    this.kind = kind;
    this.defaultText = defaultText;
    this.doc = doc;
    this.parser = parser;
  }

  /** The whole key, {@code spark.overhand.} included. */
  public String key() {
    return key;
  }

  /** What values look like, for people. */
  public String kind() {
    return kind;
  }

  /** The default as text; empty where there is none. */
  public String defaultText() {
    return defaultText;
  }

  /** What the setting does. */
  public String doc() {
    return doc;
  }

  /**
   * The value of {@code text}.
   *
   * @throws IllegalArgumentException if it is no such value; the message says what is allowed
   */
  public T parse(String text) {
    try {
      return parser.apply(text.trim());
    } catch (RuntimeException e) {
      throw new IllegalArgumentException(key + " = \"" + text + "\": " + e.getMessage() + " (" + kind + ")", e);
    }
  }
}
