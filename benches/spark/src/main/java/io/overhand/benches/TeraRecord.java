package io.overhand.benches;

import java.nio.ByteBuffer;
import java.util.zip.CRC32;

/**
 * Records as Hadoop's TeraGen makes them: 100 bytes, of which the first 10 are the key.
 *
 * <p>The value is 00 11, the number of the row as 32 hexadecimal digits, 88 99 AA BB, twelve hexadecimal digits four
 * times each, and CC DD EE FF. Everything follows from the row's number; the random numbers are ours (splitmix64), not
 * Hadoop's.
 */
final class TeraRecord {
  static final int KEY = 10;
  static final int LENGTH = 100;
  private static final byte[] HEX = "0123456789ABCDEF".getBytes(java.nio.charset.StandardCharsets.US_ASCII);

  private TeraRecord() {}

  /** Writes the record of a row at the buffer's position. */
  static void generate(long row, ByteBuffer out) {
    long first = random(2 * row);
    long second = random(2 * row + 1);
    out.putLong(first).putShort((short) (second >>> 48));
    out.put((byte) 0x00).put((byte) 0x11);
    for (int digit = 0; digit < 16; digit++) {
      out.put((byte) '0');
    }
    for (int shift = 60; shift >= 0; shift -= 4) {
      out.put(HEX[(int) (row >>> shift) & 15]);
    }
    out.putInt(0x8899AABB);
    for (int digit = 0; digit < 12; digit++) {
      byte hex = HEX[(int) (second >>> 4 * digit) & 15];
      out.put(hex).put(hex).put(hex).put(hex);
    }
    out.putInt(0xCCDDEEFF);
  }

  /** What a record adds to the checksum of all records, which is a sum and so knows no order. */
  static long checksum(byte[] bytes, int offset, CRC32 crc) {
    crc.reset();
    crc.update(bytes, offset, LENGTH);
    return crc.getValue();
  }

  /** The number at `index` of a splitmix64 sequence. */
  static long random(long index) {
    long z = (index + 1) * 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
