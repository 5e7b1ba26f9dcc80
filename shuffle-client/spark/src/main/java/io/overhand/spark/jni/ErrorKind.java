package io.overhand.spark.jni;

/** What to do about a failure. The codes are those of the wire. */
public enum ErrorKind {
  /** It may work if tried again. */
  RETRY(1),
  /** The other side has no room now. */
  BACKPRESSURE(2),
  /** Our view of the cluster is out of date. */
  STALE(3),
  /** There is no such application, shuffle, shard or worker. */
  NOT_FOUND(4),
  /** Bytes that were acknowledged are gone or damaged. */
  DATA_LOST(5),
  /** The request itself is wrong. */
  INVALID(6),
  /** The token or the secret does not allow it. */
  DENIED(7),
  /** The other side is going, or the object was closed. */
  CLOSED(8),
  /** A fault of ours. */
  INTERNAL(9),
  /** A worker of the chain failed or takes no new data. */
  BROKEN(10);

  private final int code;

  ErrorKind(int code) {
    this.code = code;
  }

  /** The code on the wire. */
  int code() {
    return code;
  }

  /** The kind of a code; an unknown one is {@link #INTERNAL}. */
  static ErrorKind of(int code) {
    for (ErrorKind kind : values()) {
      if (kind.code == code) {
        return kind;
      }
    }
    return INTERNAL;
  }
}
