// Which 8-bit implementations this processor can run.
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

enum { MOST = 6 };

extern const hg_integer_kernels hg_integer_kernels_reference;
#if defined(__x86_64__)
extern const hg_integer_kernels hg_integer_kernels_avx512vnni, hg_integer_kernels_avx512, hg_integer_kernels_avxvnni,
    hg_integer_kernels_avx2, hg_integer_kernels_baseline;
#elif defined(__aarch64__)
extern const hg_integer_kernels hg_integer_kernels_neon_i8mm, hg_integer_kernels_neon_dotprod, hg_integer_kernels_neon;
#else
extern const hg_integer_kernels hg_integer_kernels_baseline;
#endif

static int32_t list(const hg_integer_kernels *found[MOST]) {
  int32_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    if (__builtin_cpu_supports("avx512vnni")) found[count++] = &hg_integer_kernels_avx512vnni;
    found[count++] = &hg_integer_kernels_avx512;
  }
  if (avx2 && __builtin_cpu_supports("avxvnni")) found[count++] = &hg_integer_kernels_avxvnni;
  if (avx2) found[count++] = &hg_integer_kernels_avx2;
  found[count++] = &hg_integer_kernels_baseline;
#elif defined(__aarch64__)
#if defined(__linux__)
  // HWCAP_ASIMDDP and HWCAP2_I8MM.
  if (getauxval(AT_HWCAP2) & (1ul << 13)) found[count++] = &hg_integer_kernels_neon_i8mm;
  if (getauxval(AT_HWCAP) & (1ul << 20)) found[count++] = &hg_integer_kernels_neon_dotprod;
#endif
  found[count++] = &hg_integer_kernels_neon;
#else
  found[count++] = &hg_integer_kernels_baseline;
#endif
  found[count++] = &hg_integer_kernels_reference;
  return count;
}

int32_t hg_integer_kernels_count(void) {
  const hg_integer_kernels *found[MOST];
  return list(found);
}

const hg_integer_kernels *hg_integer_kernels_at(int32_t index) {
  const hg_integer_kernels *found[MOST];
  const int32_t count = list(found);
  return found[index < 0 || index >= count ? count - 1 : index];
}

const hg_integer_kernels *hg_integer_kernels_beside(int32_t index) {
  const char *name = hg_kernels_at(index)->name;
  const hg_integer_kernels *found[MOST];
  const int32_t count = list(found);
  // With AVX-512 come avx512vnni and avx512, with AVX2 avxvnni and avx2, with NEON those whose names begin so.
  for (int32_t i = 0; i < count; i++) {
    const char *candidate = found[i]->name;
    if (!strncmp(candidate, name, strlen(name)) || (!strcmp(name, "avx2") && !strcmp(candidate, "avxvnni")))
      return found[i];
  }
  return found[count - 1];
}
