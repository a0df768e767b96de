// Which implementations this processor can run.
#include "CHGNetKernels.h"

extern const hg_kernels hg_kernels_reference;
extern const hg_training_kernels hg_training_kernels_reference;
#if defined(__x86_64__)
extern const hg_kernels hg_kernels_avx512, hg_kernels_avx2, hg_kernels_baseline;
extern const hg_training_kernels hg_training_kernels_avx512, hg_training_kernels_avx2, hg_training_kernels_baseline;
#elif defined(__aarch64__)
extern const hg_kernels hg_kernels_neon;
extern const hg_training_kernels hg_training_kernels_neon;
#else
extern const hg_kernels hg_kernels_baseline;
extern const hg_training_kernels hg_training_kernels_baseline;
#endif

static int32_t list(const hg_kernels *found[4]) {
  int32_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    found[count++] = &hg_kernels_avx512;
  if (avx2) found[count++] = &hg_kernels_avx2;
  found[count++] = &hg_kernels_baseline;
#elif defined(__aarch64__)
  found[count++] = &hg_kernels_neon;
#else
  found[count++] = &hg_kernels_baseline;
#endif
  found[count++] = &hg_kernels_reference;
  return count;
}

int32_t hg_kernels_count(void) {
  const hg_kernels *found[4];
  return list(found);
}

const hg_kernels *hg_kernels_at(int32_t index) {
  const hg_kernels *found[4];
  const int32_t count = list(found);
  return found[index < 0 || index >= count ? count - 1 : index];
}

const hg_training_kernels *hg_training_kernels_at(int32_t index) {
  const hg_kernels *kernels = hg_kernels_at(index);
  if (kernels == &hg_kernels_reference) return &hg_training_kernels_reference;
#if defined(__x86_64__)
  if (kernels == &hg_kernels_avx512) return &hg_training_kernels_avx512;
  if (kernels == &hg_kernels_avx2) return &hg_training_kernels_avx2;
  return &hg_training_kernels_baseline;
#elif defined(__aarch64__)
  return &hg_training_kernels_neon;
#else
  return &hg_training_kernels_baseline;
#endif
}
