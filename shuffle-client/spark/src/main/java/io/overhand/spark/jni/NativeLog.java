package io.overhand.spark.jni;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Hands on what the native code logs, to the logger {@code io.overhand.native.} followed by the native module: errors
 * and warnings as such, state changes at debug.
 */
final class NativeLog {
  private static final String PREFIX = "io.overhand.native.";

  private NativeLog() {}

  /** Starts the thread that waits for lines; it ends with the JVM. */
  static void start() {
    long log = Native.logOpen();
    Thread thread = new Thread(() -> follow(log), "overhand-log");
    thread.setContextClassLoader(NativeLog.class.getClassLoader());
    thread.setDaemon(true);
    thread.start();
  }

  private static void follow(long log) {
    String[] line = new String[2];
    try {
      while (true) {
        int level = Native.logNext(log, line);
        write(level, LoggerFactory.getLogger(PREFIX + line[0].replace("::", ".")), line[1]);
      }
    } catch (OverhandException e) {
      LoggerFactory.getLogger(NativeLog.class).warn("what the native code logs is not seen any more", e);
    }
  }

  private static void write(int level, Logger logger, String text) {
    switch (level) {
      case Native.LOG_ERROR:
        logger.error(text);
        break;
      case Native.LOG_WARN:
        logger.warn(text);
        break;
      case Native.LOG_INFO:
        logger.debug(text);
        break;
      default:
        throw new OverhandException(ErrorKind.INTERNAL, "the native log gave no answer", null);
    }
  }
}
