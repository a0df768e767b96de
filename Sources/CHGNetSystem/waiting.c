// Sleeping on a word of memory: a system call on Linux; elsewhere all sleepers share one condition.
#define _GNU_SOURCE
#include "CHGNetWaiting.h"

#if defined(__linux__)

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void hg_sleep(const void *word, uint32_t expected) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL); }

void hg_wake(const void *word, int32_t count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL); }

#else

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

void hg_sleep(const void *word, uint32_t expected) {
  pthread_mutex_lock(&mutex);
  if (atomic_load((const _Atomic uint32_t *)word) == expected) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
}

void hg_wake(const void *word, int32_t count) {
  (void)word;
  (void)count;
  pthread_mutex_lock(&mutex);
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
}

#endif
