/* CRC-32C of a range of bytes: one instruction for eight bytes where the processor has it. */
#ifndef ACKED_CRC32C_H
#define ACKED_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t length);

#endif
