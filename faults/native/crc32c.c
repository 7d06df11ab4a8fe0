/* CRC-32C, by instruction or by table; see crc32c.h. */
#include "crc32c.h"

#include <string.h>

static uint32_t table[256];

/* Filled by whoever needs it first; several fill in the same. */
static void fill_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
}

static uint32_t by_table(uint32_t crc, const unsigned char *at, size_t length) {
  if (table[255] == 0) fill_table();
  for (; length > 0; length--) crc = (crc >> 8) ^ table[(crc ^ *at++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *at,
                                                                 size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; at += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = (uint32_t)wide;
  for (; length > 0; length--) crc = _mm_crc32_u8(crc, *at++);
  return crc;
}

static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#else
static uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t length) {
  return by_table(crc, at, length);
}

static int has_instruction(void) { return 0; }
#endif

uint32_t crc32c(const void *bytes, size_t length) {
  uint32_t crc = has_instruction() ? by_instruction(~0u, bytes, length) : by_table(~0u, bytes, length);
  return ~crc;
}
