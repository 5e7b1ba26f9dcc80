package io.overhand.spark.read;

/**
 * The input of a task, batch by batch: memory with whole items, {@code [length][bytes]} one after another, of one
 * partition.
 */
interface Batches {
  /** Moves to the next batch that has any item; the one before is gone then. False at the end. */
  boolean next();

  /** Where the batch begins. */
  long address();

  /** Where the batch ends. */
  long end();

  /** Items of all batches so far. */
  long items();

  /** Tells that records were read since the last call. */
  void recordsRead(long records);
}
