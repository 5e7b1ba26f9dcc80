package io.overhand.chaos;

/**
 * How large a job is.
 *
 * @param rows of its largest input
 * @param maps map tasks that make these
 * @param partitions of its shuffles
 */
record Size(long rows, int maps, int partitions) {}
