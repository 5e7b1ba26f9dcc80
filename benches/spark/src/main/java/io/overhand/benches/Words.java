package io.overhand.benches;

import java.nio.charset.StandardCharsets;

/**
 * Strings of words. All are slices of one long text, which each JVM makes once: so that a string costs a copy, and
 * repeats are too far apart for a compressor to find them. Words are as frequent as Zipf's law says, letters about as in
 * English.
 */
final class Words {
  /** Bytes of the shortest and of the longest string. */
  private static final int SHORTEST = 1000;

  private static final int LONGEST = 10_000;
  private static final int VOCABULARY = 10_000;
  private static final String LETTERS = "etaoinshrdlucmfwygpbvkxjqz";
  private static final byte[] TEXT = text(16 << 20);

  private Words() {}

  /** The string of a row. */
  static String at(long row) {
    long random = TeraRecord.random(row);
    int length = SHORTEST + (int) Long.remainderUnsigned(random, LONGEST - SHORTEST + 1);
    int start = (int) Long.remainderUnsigned(random >>> 20, TEXT.length - LONGEST);
    return new String(TEXT, start, length, StandardCharsets.ISO_8859_1);
  }

  private static byte[] text(int length) {
    byte[][] vocabulary = new byte[VOCABULARY][];
    for (int i = 0; i < VOCABULARY; i++) {
      vocabulary[i] = word(i);
    }
    byte[] text = new byte[length];
    int filled = 0;
    for (long i = 0; filled < length; i++) {
      byte[] word = vocabulary[(int) Math.pow(VOCABULARY, unit(i))];
      int copied = Math.min(word.length, length - filled);
      System.arraycopy(word, 0, text, filled, copied);
      filled += copied;
    }
    return text;
  }

  /** A word with the space after it; frequent ones are short. */
  private static byte[] word(int rank) {
    int letters = 1 + (int) (Math.log(rank + 1) / 2 + 4 * unit(-1 - rank));
    byte[] word = new byte[letters + 1];
    for (int i = 0; i < letters; i++) {
      double unit = unit(-1L - VOCABULARY - 16L * rank - i);
      word[i] = (byte) LETTERS.charAt((int) (LETTERS.length() * unit * unit));
    }
    word[letters] = ' ';
    return word;
  }

  /** A random number from 0 to 1. */
  private static double unit(long index) {
    return (TeraRecord.random(index) >>> 11) * 0x1p-53;
  }
}
