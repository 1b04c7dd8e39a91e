/* The eight C functions that the original cr-sqlite, built for Android, imports under the symbol version LIBC.
   Plain loops and no calls: this library needs no other, so none of its names can resolve to itself. */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n) {
  unsigned char *t = to;
  const unsigned char *f = from;
  for (size_t i = 0; i < n; i++) t[i] = f[i];
  return to;
}

void *memmove(void *to, const void *from, size_t n) {
  unsigned char *t = to;
  const unsigned char *f = from;
  if (t < f) {
    for (size_t i = 0; i < n; i++) t[i] = f[i];
  } else {
    for (size_t i = n; i > 0; i--) t[i - 1] = f[i - 1];
  }
  return to;
}

void *memset(void *to, int byte, size_t n) {
  unsigned char *t = to;
  for (size_t i = 0; i < n; i++) t[i] = (unsigned char)byte;
  return to;
}

int memcmp(const void *left, const void *right, size_t n) {
  const unsigned char *l = left, *r = right;
  for (size_t i = 0; i < n; i++)
    if (l[i] != r[i]) return l[i] < r[i] ? -1 : 1;
  return 0;
}

size_t strlen(const char *text) {
  size_t n = 0;
  while (text[n]) n++;
  return n;
}

/* Nothing of the library has to run at exit or at fork; it lives as long as the process. */
int __cxa_atexit(void (*f)(void *), void *argument, void *library) { return 0; }
void __cxa_finalize(void *library) {}
int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *library) { return 0; }
