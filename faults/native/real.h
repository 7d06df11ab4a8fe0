/*
 * The real calls, made as system calls: nothing that is interposed lies between, they work before the C library has
 * been initialised and in a forked child, and the interposer and the broker share them. Each returns its result, or
 * -errno; errno itself is left alone.
 */
#ifndef ACKED_REAL_H
#define ACKED_REAL_H

#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long real_call6(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
static inline long real_call6(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#else
#error "acked's disk faults need Linux on x86-64 or arm64"
#endif

#define REAL_PADDED(number, a, b, c, d, e, f, ...) \
  real_call6((long)(number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* real(SYS_pwrite64, fd, data, length, offset): up to six arguments. */
#define real(...) REAL_PADDED(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* Calls that are younger than some distributions' headers. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* Of openat2(2): struct open_how, as Linux 5.6 has it. */
struct real_open_how {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};

/* A returned -errno, as an errno; 0 when the call succeeded. */
static inline int real_error(long result) { return result < 0 && result >= -4095 ? (int)-result : 0; }

#endif
