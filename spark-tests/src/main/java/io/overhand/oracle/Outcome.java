package io.overhand.oracle;

/**
 * What a job came to: the number of rows, a digest of them, and its shape, which is whatever else must be the same on
 * both shuffles (the kind of a join in the final plan, for example).
 */
public record Outcome(long rows, long digest, String shape) {
  Outcome(long rows, long digest) {
    this(rows, digest, "");
  }

  Outcome shaped(String what) {
    return new Outcome(rows, digest, what);
  }

  /** The outcome of doing both, one after the other. */
  Outcome and(Outcome next) {
    return new Outcome(rows + next.rows, Digest.mix(digest) + next.digest, (shape + " " + next.shape).trim());
  }
}
