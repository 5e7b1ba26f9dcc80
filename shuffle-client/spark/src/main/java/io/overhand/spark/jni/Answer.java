package io.overhand.spark.jni;

import java.nio.charset.StandardCharsets;

/**
 * What the driver answers to an executor, as bytes: a zero and the placement, or the code of an {@link ErrorKind} and a
 * text in UTF-8. It travels over Spark's RPC, which may not find our classes.
 */
public final class Answer {
  private Answer() {}

  /** The answer that is a placement. */
  public static byte[] placement(byte[] placement) {
    return join((byte) 0, placement);
  }

  /** The answer that is a failure; {@code text} says what, where and what to do. */
  public static byte[] failure(ErrorKind kind, String text) {
    return join((byte) kind.code(), text.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] join(byte first, byte[] rest) {
    byte[] joined = new byte[1 + rest.length];
    joined[0] = first;
    System.arraycopy(rest, 0, joined, 1, rest.length);
    return joined;
  }
}
