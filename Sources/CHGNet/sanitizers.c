#include "CHGNetSanitizers.h"

#if defined(__ELF__)
// There only where the program was built with the sanitizer; null otherwise.
extern void AnnotateIgnoreReadsBegin(const char *file, int line) __attribute__((weak));
extern void AnnotateIgnoreReadsEnd(const char *file, int line) __attribute__((weak));
extern void AnnotateIgnoreWritesBegin(const char *file, int line) __attribute__((weak));
extern void AnnotateIgnoreWritesEnd(const char *file, int line) __attribute__((weak));
extern void __lsan_disable(void) __attribute__((weak));
extern void __lsan_enable(void) __attribute__((weak));

void hg_accesses_ignore(void) {
  if (AnnotateIgnoreReadsBegin) AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  if (AnnotateIgnoreWritesBegin) AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

void hg_accesses_observe(void) {
  if (AnnotateIgnoreWritesEnd) AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  if (AnnotateIgnoreReadsEnd) AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

void hg_leaks_ignore(void) {
  if (__lsan_disable) __lsan_disable();
}

void hg_leaks_observe(void) {
  if (__lsan_enable) __lsan_enable();
}
#else
void hg_accesses_ignore(void) {}
void hg_accesses_observe(void) {}
void hg_leaks_ignore(void) {}
void hg_leaks_observe(void) {}
#endif
