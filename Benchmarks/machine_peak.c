// What this machine can do at most: fused multiply-adds in registers, and reading from each level of memory.
//
//   cc -O2 -ffp-contract=fast -pthread -o machine_peak machine_peak.c && ./machine_peak [THREADS ...]
//
// Prints one JSON object: {"threads": {"1": {"fma_avx2": GFLOP/s, ..., "read_l1": GB/s, ...}, ...}}. A multiply-add
// counts as two operations. Every thread has memory of its own; the figure is the sum over the threads, the best of
// several rounds. The first two levels are read from half their size, the third from an eighth, since others share
// it, main memory from 256 MiB a thread.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7
#define ROUND_SECONDS 0.05

// 12 chains of vectors hide the latency of a multiply-add and, with factor and term, fit into 16 registers. A chain is
// a variable of its own, since GCC would keep an array in memory.
#define EACH_CHAIN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define BEGIN_CHAIN(index) vector sum##index = term;
#define STEP_CHAIN(index)                \
  sum##index = sum##index * factor + term; \
  __asm__ volatile("" : REGISTER(sum##index));
#define END_CHAIN(index) total += sum##index[0];

#define DEFINE_FMA(name, bytes, attribute)                                                   \
  attribute static double name(long count) {                                                 \
    typedef float vector __attribute__((vector_size(bytes)));                                \
    vector factor = {0}, term = {0};                                                         \
    for (int lane = 0; lane < bytes / 4; lane++) factor[lane] = 0.999f, term[lane] = 0.001f; \
    EACH_CHAIN(BEGIN_CHAIN)                                                                  \
    for (long step = 0; step < count; step++) {                                              \
      EACH_CHAIN(STEP_CHAIN)                                                                 \
    }                                                                                        \
    float total = 0;                                                                         \
    EACH_CHAIN(END_CHAIN)                                                                    \
    volatile float kept = total;                                                             \
    (void)kept;                                                                              \
    return 12.0 * (bytes / 4) * 2 * (double)count;                                           \
  }

#if defined(__x86_64__)
#define REGISTER(value) "+x"(value)
DEFINE_FMA(fma_sse, 16, )
DEFINE_FMA(fma_avx2, 32, __attribute__((target("avx2,fma"))))
#undef REGISTER
#define REGISTER(value) "+v"(value)
DEFINE_FMA(fma_avx512, 64, __attribute__((target("avx512f"))))
#elif defined(__aarch64__)
#define REGISTER(value) "+w"(value)
DEFINE_FMA(fma_neon, 16, )
#else
#define REGISTER(value) "+m"(value)
DEFINE_FMA(fma_plain, 16, )
#endif

// Reads `bytes` of memory `count` times, 32 bytes at a step into four sums.
typedef uint64_t word __attribute__((vector_size(32)));
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static double read_memory(const char *memory, size_t bytes, long count) {
  word first = {0}, second = {0}, third = {0}, fourth = {0};
  for (long pass = 0; pass < count; pass++) {
    const word *words = (const word *)memory;
    for (size_t index = 0; index + 4 <= bytes / sizeof(word); index += 4) {
      first ^= words[index];
      second ^= words[index + 1];
      third ^= words[index + 2];
      fourth ^= words[index + 3];
    }
    __asm__ volatile("" ::: "memory");
  }
  volatile uint64_t kept = (first ^ second ^ third ^ fourth)[0];
  (void)kept;
  return (double)bytes * (double)count;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

struct work {
  double (*arithmetic)(long count);  // or, where there is none,
  size_t bytes;                      // memory to read
  pthread_barrier_t *start;
  double rates[ROUNDS];
};

static double perform(const struct work *work, const char *memory, long count) {
  return work->arithmetic ? work->arithmetic(count) : read_memory(memory, work->bytes, count);
}

static void *measure(void *argument) {
  struct work *work = argument;
  char *memory = NULL;
  if (work->bytes > 0) {
    if (posix_memalign((void **)&memory, 4096, work->bytes) != 0) exit(1);
    memset(memory, 1, work->bytes);
  }
  long count = 1;
  for (;;) {  // as many steps as fill a round
    double begin = now();
    perform(work, memory, count);
    if (now() - begin > ROUND_SECONDS / 2) break;
    count *= 2;
  }
  for (int round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(work->start);
    double begin = now();
    double amount = perform(work, memory, count);
    work->rates[round] = amount / (now() - begin);
  }
  free(memory);
  return NULL;
}

/// The sum of the rates of all threads in the best round, in 1e9 a second.
static double rate(int threads, double (*arithmetic)(long), size_t bytes) {
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, (unsigned)threads);
  struct work *works = calloc((size_t)threads, sizeof *works);
  pthread_t *handles = calloc((size_t)threads, sizeof *handles);
  if (!works || !handles) exit(1);
  for (int index = 0; index < threads; index++) {
    works[index] = (struct work){.arithmetic = arithmetic, .bytes = bytes, .start = &start};
    if (pthread_create(&handles[index], NULL, measure, &works[index]) != 0) exit(1);
  }
  for (int index = 0; index < threads; index++) pthread_join(handles[index], NULL);
  double best = 0;
  for (int round = 0; round < ROUNDS; round++) {
    double sum = 0;
    for (int index = 0; index < threads; index++) sum += works[index].rates[round];
    if (sum > best) best = sum;
  }
  free(works);
  free(handles);
  pthread_barrier_destroy(&start);
  return best / 1e9;
}

static size_t level_bytes(int name, size_t otherwise) {
  long bytes = sysconf(name);
  return bytes > 0 ? (size_t)bytes : otherwise;
}

int main(int count, char **arguments) {
  printf("{\"threads\": {");
  for (int index = 1; index < (count > 1 ? count : 2); index++) {
    int threads = count > 1 ? atoi(arguments[index]) : 1;
    if (threads < 1 || threads > 1024) {
      fprintf(stderr, "machine_peak: expected a number of threads from 1 to 1024, found %s\n", arguments[index]);
      return 64;
    }
    printf("%s\"%d\": {", index > 1 ? ", " : "", threads);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) printf("\"fma_avx512\": %.1f, ", rate(threads, fma_avx512, 0));
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      printf("\"fma_avx2\": %.1f, ", rate(threads, fma_avx2, 0));
    printf("\"multiply_add_sse\": %.1f, ", rate(threads, fma_sse, 0));
#elif defined(__aarch64__)
    printf("\"fma_neon\": %.1f, ", rate(threads, fma_neon, 0));
#else
    printf("\"multiply_add\": %.1f, ", rate(threads, fma_plain, 0));
#endif
    printf("\"read_l1\": %.1f, ", rate(threads, NULL, level_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10) / 2));
    printf("\"read_l2\": %.1f, ", rate(threads, NULL, level_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10) / 2));
    printf("\"read_l3\": %.1f, ",
           rate(threads, NULL, level_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20) / 8 / (size_t)threads));
    printf("\"read_memory\": %.1f}", rate(threads, NULL, (size_t)256 << 20));
  }
  printf("}}\n");
  return 0;
}
