package io.overhand.spark.conf;

/** What happens to a shuffle that can't be placed, because no coordinator answers or there is no worker. */
public enum Fallback {
  /** It goes through Spark's own shuffle, and the next one tries Overhand again. */
  AUTO,
  /** The job fails at once. */
  NEVER
}
