/*
 * What a call costs: makes ROUNDS calls of each kind in blocks and prints the cheapest block of each, as one JSON object of
 * ns per call. Run bare, under the interposer, and under the interposer with a trace: faults/front-ends/overhead.ts.
 * The cheapest block, because everything that disturbs a measurement makes it longer.
 *
 *   overhead FILE ROUNDS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS 10

static int file, ends[2];
static char bytes[4096];

static void pwrite_100(void) {
  if (pwrite(file, bytes, 100, 0) != 100) exit(1);
}
static void write_100(void) {
  if (write(file, bytes, 100) != 100) exit(1);
}
static void pwrite_4096(void) {
  if (pwrite(file, bytes, 4096, 0) != 4096) exit(1);
}
static void pread_100(void) {
  if (pread(file, bytes, 100, 0) != 100) exit(1);
}
static void send_100(void) {
  if (write(ends[0], bytes, 100) != 100 || recv(ends[1], bytes, 100, 0) != 100) exit(1);
}

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure(const char *name, void (*call)(void), int rounds, const char *separator) {
  double best = 1e18;
  for (int block = 0; block < BLOCKS; block++) {
    double begin = now_ns();
    for (int round = 0; round < rounds / BLOCKS; round++) call();
    double each = (now_ns() - begin) / (rounds / BLOCKS);
    if (each < best) best = each;
  }
  printf("\"%s\":%.1f%s", name, best, separator);
}

int main(int count, char **words) {
  if (count < 3) return 1;
  int rounds = atoi(words[2]);
  file = open(words[1], O_RDWR | O_CREAT, 0600);
  if (file < 0 || rounds < BLOCKS || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 1;
  printf("{");
  measure("pwrite 100", pwrite_100, rounds, ",");
  measure("pread 100", pread_100, rounds, ",");
  measure("send 100", send_100, rounds, ",");
  measure("pwrite 4096", pwrite_4096, rounds, ",");
  measure("write 100", write_100, rounds, "}\n");
  return 0;
}
