package io.overhand.spark.jni;

import java.util.Locale;

/** A failure of the client: a kind to act on, and a text that says what, where and what to do. */
public class OverhandException extends RuntimeException {
  private final ErrorKind kind;

  /** Called by the native code. */
  OverhandException(int kind, String message) {
    this(ErrorKind.of(kind), message, null);
  }

  /** A failure of {@code kind}. */
  public OverhandException(ErrorKind kind, String message, Throwable cause) {
    super(message + " (" + kind.name().toLowerCase(Locale.ROOT).replace('_', ' ') + ")", cause);
    this.kind = kind;
  }

  /** What to do about it. */
  public ErrorKind kind() {
    return kind;
  }
}
