package io.overhand.spark.jni;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import java.util.zip.CRC32;

/** The bytes of a placement of one partition at one worker, as the driver's native client makes them. */
public final class PlacementBytes {
  private static final int SHUFFLE = 7;
  private static final String NOWHERE = "127.0.0.1:1";

  private PlacementBytes() {}

  /** A worker at {@code address}, for ever. */
  public static byte[] of(String address) {
    return of(address, NOWHERE, 1L << 40);
  }

  /** A worker at {@code address}; the token ends at {@code expires} (seconds since 1970). */
  static byte[] of(String address, String coordinator, long expires) {
    ByteBuffer out = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);
    out.position(4);
    out.put((byte) 2).putLong(1);
    text(out, "app-1");
    out.putInt(SHUFFLE).putInt(1).putInt(1);
    text(out, "a.b.c");
    out.putLong(expires);
    out.putShort((short) 1);
    text(out, coordinator);
    UUID worker = UUID.fromString("00000000-0000-0000-0000-000000000001");
    out.putShort((short) 1);
    out.putLong(worker.getLeastSignificantBits()).putLong(worker.getMostSignificantBits()).putLong(1);
    text(out, address);
    out.putInt(1).putInt(0).put((byte) 1).putShort((short) 0);
    CRC32 crc = new CRC32();
    crc.update(out.array(), 4, out.position() - 4);
    out.putInt(0, (int) crc.getValue());
    byte[] bytes = new byte[out.position()];
    System.arraycopy(out.array(), 0, bytes, 0, bytes.length);
    return bytes;
  }

  private static void text(ByteBuffer out, String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    out.putShort((short) bytes.length).put(bytes);
  }
}
