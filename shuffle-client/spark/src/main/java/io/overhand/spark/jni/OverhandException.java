package io.overhand.spark.jni;

import java.util.Locale;

/** A failure of the client: a kind to act on, and a text that says what, where and what to do. */
public class OverhandException extends RuntimeException {
  private final ErrorKind kind;
  private final String reason;

  /** Called by the native code. */
  OverhandException(int kind, String message) {
    this(ErrorKind.of(kind), message, null);
  }

  /** A failure of {@code kind}. */
  public OverhandException(ErrorKind kind, String message, Throwable cause) {
    super(message + " (" + kind.name().toLowerCase(Locale.ROOT).replace('_', ' ') + ")", cause);
    this.kind = kind;
    this.reason = message;
  }

  /** What to do about it. */
  public ErrorKind kind() {
    return kind;
  }

  /** The text without the kind. */
  public String reason() {
    return reason;
  }
}
