// The scalar definition of the decoder's kernels, and which implementation belongs to which processor.
#include <math.h>

#include "CHGNetKernels.h"

#define HG_NAME(name) name##_reference
#define HG_LANES 1
#include "vector.h"
#include "attention.h"

#if defined(__x86_64__)
extern const hg_decoder_kernels hg_decoder_kernels_avx512, hg_decoder_kernels_avx2, hg_decoder_kernels_baseline;
#elif defined(__aarch64__)
extern const hg_decoder_kernels hg_decoder_kernels_neon;
#else
extern const hg_decoder_kernels hg_decoder_kernels_baseline;
#endif

const hg_decoder_kernels *hg_decoder_kernels_named(const char *name) {
  struct {
    const char *name;
    const hg_decoder_kernels *kernels;
  } known[] = {
#if defined(__x86_64__)
      {"avx512", &hg_decoder_kernels_avx512}, {"avx2", &hg_decoder_kernels_avx2},
      {"baseline", &hg_decoder_kernels_baseline},
#elif defined(__aarch64__)
      {"neon", &hg_decoder_kernels_neon},
#else
      {"baseline", &hg_decoder_kernels_baseline},
#endif
  };
  for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
    if (__builtin_strcmp(name, known[i].name) == 0) return known[i].kernels;
  return &hg_decoder_kernels_reference;
}
