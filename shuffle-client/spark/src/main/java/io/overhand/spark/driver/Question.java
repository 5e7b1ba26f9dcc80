package io.overhand.spark.driver;

import java.nio.ByteBuffer;

/** What an executor asks the driver about the placement of a shuffle. It travels as bytes, like {@link LostMaps}. */
final class Question {
  private final int shuffleId;
  private final byte[] trouble;

  /** A question about a shuffle; {@code trouble} is for the native client. */
  Question(int shuffleId, byte[] trouble) {
    this.shuffleId = shuffleId;
    this.trouble = trouble;
  }

  /** Reads the bytes of {@link #encode}. */
  static Question decode(byte[] bytes) {
    if (bytes.length < Integer.BYTES) {
      throw new IllegalArgumentException("a question about a placement has " + bytes.length + " bytes");
    }
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    int shuffleId = buffer.getInt();
    byte[] trouble = new byte[buffer.remaining()];
    buffer.get(trouble);
    return new Question(shuffleId, trouble);
  }

  /** The shuffle, then the trouble. */
  byte[] encode() {
    return ByteBuffer.allocate(Integer.BYTES + trouble.length).putInt(shuffleId).put(trouble).array();
  }

  int shuffleId() {
    return shuffleId;
  }

  byte[] trouble() {
    return trouble;
  }
}
