package io.overhand.chaos;

/** Where a job stops until it is told to go on. */
enum Phase {
  /** Nowhere. */
  NONE,
  /** In the middle of a map task, when a third of them are done. The other tasks go on. */
  WRITING,
  /** When the last map task has given its last row, so that what is left to send is its end. */
  FIN,
  /** When all map tasks are done, and before any reduce task reads. */
  BETWEEN,
  /** When a third of the reduce tasks were begun. The other tasks go on. */
  READING;

  /** The row of the largest input before which the job stops; -1 if it isn't at a row. */
  long row(Size size) {
    return switch (this) {
      case WRITING -> size.rows() * (2 * (size.maps() / 3) + 1) / (2L * size.maps());
      case FIN -> size.rows() - 1;
      case NONE, BETWEEN, READING -> -1;
    };
  }
}
