// What the processor can do at most, as a measure for the other kernels. Included once per instruction set.

#define HG_PEAK_CHAINS 12

// Multiply-adds in registers: enough chains to hide the latency of one.
static void HG_NAME(hg_peak_arithmetic)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_peak *d = descriptor;
  hg_vector sum[HG_PEAK_CHAINS];
  hg_vector factor = hg_splat(0.999f), term = hg_splat(0.001f);
  // Unknown to the compiler, which would else work the sums out.
  __asm__ volatile("" : "+m"(factor), "+m"(term));
  HG_UNROLL for (int i = 0; i < HG_PEAK_CHAINS; i++) sum[i] = term;
  for (int64_t repeat = 0; repeat < d->repeats; repeat++)
    HG_UNROLL for (int i = 0; i < HG_PEAK_CHAINS; i++) sum[i] = sum[i] * factor + term;
  float total = 0;
  HG_UNROLL for (int i = 0; i < HG_PEAK_CHAINS; i++) total += sum[i][0];
  d->sums[task * 16] = total;
}

// Reading a part of memory per task, from its beginning to its end.
static void HG_NAME(hg_peak_reading)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_peak *d = descriptor;
  const float *from = d->memory + task * d->count;
  hg_vector sum[4] = {{0}};
  for (int64_t repeat = 0; repeat < d->repeats; repeat++)
    for (int64_t i = 0; i + 4 * HG_LANES <= d->count; i += 4 * HG_LANES)
      HG_UNROLL for (int v = 0; v < 4; v++) sum[v] += hg_load(from + i + v * HG_LANES);
  const hg_vector total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  d->sums[task * 16] = total[0] + total[HG_LANES - 1];
}
