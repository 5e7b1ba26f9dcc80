package io.overhand.spark.write;

import java.io.OutputStream;

/** Where a serializer writes the record that has begun in an arena. */
final class ArenaOutputStream extends OutputStream {
  private final Arena arena;

  ArenaOutputStream(Arena arena) {
    this.arena = arena;
  }

  @Override
  public void write(int oneByte) {
    arena.write(oneByte);
  }

  @Override
  public void write(byte[] bytes, int offset, int length) {
    arena.write(bytes, offset, length);
  }
}
