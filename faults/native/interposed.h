/* What the files of the interposer share: how a libc function is replaced, and how its result is handed over. */
#ifndef ACKED_INTERPOSED_H
#define ACKED_INTERPOSED_H

#include <dlfcn.h>
#include <errno.h>

#define INTERPOSED __attribute__((visibility("default")))

/* The mode follows only where the flags can create a file. */
#define MODE_ARGUMENT(last)                              \
  mode_t mode = 0;                                       \
  if ((last) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
    va_list arguments;                                   \
    va_start(arguments, last);                           \
    mode = (mode_t)va_arg(arguments, unsigned int);      \
    va_end(arguments);                                   \
  }

/* A system call's result as the C library returns it. */
static inline long answer(long result) {
  if (result >= 0 || result < -4095) return result;
  errno = (int)-result;
  return -1;
}

/* The next definition of a libc function, found at first use. */
#define NEXT(result, name, ...)                                           \
  typedef result (*name##_function)(__VA_ARGS__);                         \
  static name##_function next_##name(void) {                              \
    static name##_function found;                                         \
    name##_function known = __atomic_load_n(&found, __ATOMIC_RELAXED);    \
    if (!known) {                                                         \
      known = (name##_function)dlsym(RTLD_NEXT, #name);                   \
      __atomic_store_n(&found, known, __ATOMIC_RELAXED);                  \
    }                                                                     \
    return known;                                                         \
  }

/* glibc's second name of a function. */
#define SAME(name, original) \
  extern __typeof__(original) name __attribute__((alias(#original), visibility("default")))

#endif
