// Counting forks: a handler that runs in each child.
#include "CHGNetForking.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic uint32_t forks = 0;

static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }

static void install(void) { pthread_atfork(NULL, NULL, count_fork); }

uint32_t hg_fork_count(void) { return atomic_load_explicit(&forks, memory_order_relaxed); }

void hg_fork_watch(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
}
