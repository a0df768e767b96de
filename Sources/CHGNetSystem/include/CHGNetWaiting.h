// How a thread waits for another one: first in a short loop, then asleep.
#pragma once

#include <stdint.h>

// A hint to the processor that the caller is waiting in a loop.
static inline void hg_spin_hint(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Sleeps while the word has the expected value, until hg_wake; may return early.
void hg_sleep(const void *_Nonnull word, uint32_t expected);

// Wakes up to `count` threads that sleep on the word.
void hg_wake(const void *_Nonnull word, int32_t count);
