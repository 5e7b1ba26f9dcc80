package io.overhand.spark.jni;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/** Loads the native library from the jar: once per class loader, since each has its own copy of this class. */
final class NativeLibrary {
  private static boolean loaded;

  private NativeLibrary() {}

  /**
   * Loads it if that has not been done.
   *
   * @throws OverhandException if the jar has no library for this platform or it can't be loaded
   */
  static synchronized void load() {
    if (loaded) {
      return;
    }
    String resource = "/native/" + platform() + "/liboverhand_jni.so";
    try (InputStream in = NativeLibrary.class.getResourceAsStream(resource)) {
      if (in == null) {
        throw new OverhandException(
            ErrorKind.INVALID, "the Overhand jar has no native library for this platform: " + resource, null);
      }
      // The system keeps a loaded library that has no name any more, so that nothing is left behind.
      Path file = Files.createTempFile("liboverhand_jni", ".so");
      try {
        Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
        System.load(file.toString());
      } finally {
        Files.deleteIfExists(file);
      }
    } catch (IOException | UnsatisfiedLinkError e) {
      throw new OverhandException(
          ErrorKind.INTERNAL,
          "the native library can't be unpacked and loaded from " + System.getProperty("java.io.tmpdir")
              + " (set java.io.tmpdir to a folder whose files may be executed): " + e.getMessage(),
          e);
    }
    loaded = true;
    NativeLog.start();
  }

  private static String platform() {
    String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    String arch = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
    return (os.startsWith("linux") ? "linux" : os.replaceAll("[^a-z0-9]", ""))
        + "-"
        + (arch.equals("x86_64") ? "amd64" : arch);
  }
}
