//! The Overhand client for the JVM.
