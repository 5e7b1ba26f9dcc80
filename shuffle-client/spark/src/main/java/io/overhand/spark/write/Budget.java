package io.overhand.spark.write;

/** How much memory an arena may fill before it hands its records over. */
interface Budget {
  /**
   * Whether a batch that has {@code open} bytes may grow by {@code next} more. An arena that may not hands over what it
   * has, and asks again with nothing open; it then takes the memory whatever the answer is, because a record needs it.
   */
  boolean allow(long open, long next);

  /** A budget that is always the same. */
  static Budget fixed(long batchLimit) {
    return (open, next) -> open + next <= batchLimit;
  }
}
