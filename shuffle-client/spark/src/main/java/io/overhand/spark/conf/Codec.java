package io.overhand.spark.conf;

/** How blocks are compressed. The codes are those of the block format. */
public enum Codec {
  /** Not at all. */
  NONE(0),
  /** LZ4: quick. */
  LZ4(1),
  /** ZSTD: smaller. */
  ZSTD(2);

  private final int code;

  Codec(int code) {
    this.code = code;
  }

  /** The code in the block format. */
  public int code() {
    return code;
  }
}
