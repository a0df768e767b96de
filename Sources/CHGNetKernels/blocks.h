// How a product is cut into register blocks, for kernels of every precision. Included once per instruction set.


// Columns of half a panel.
#define HG_HALF 8

// The switch over all heights of a register block, and the functions by its width: run(b, rows, panels) with constants.
#if HG_BLOCK_ROWS >= 8
#define HG_HIGH_ROWS(run, P) case 5: run(b, 5, P); return; case 6: run(b, 6, P); return; \
                             case 7: run(b, 7, P); return; case 8: run(b, 8, P); return;
#elif HG_BLOCK_ROWS >= 6
#define HG_HIGH_ROWS(run, P) case 5: run(b, 5, P); return; case 6: run(b, 6, P); return;
#else
#define HG_HIGH_ROWS(run, P)
#endif
#if HG_BLOCK_ROWS >= 4
#define HG_MIDDLE_ROWS(run, P) case 3: run(b, 3, P); return; case 4: run(b, 4, P); return;
#else
#define HG_MIDDLE_ROWS(run, P)
#endif
#define HG_DEFINE_ROWS(name, block, run, P)                                                \
  static __attribute__((noinline)) void HG_NAME(name)(const block *b, int rows) {          \
    switch (rows) {                                                                        \
      case 1: run(b, 1, P); return; case 2: run(b, 2, P); return;                          \
      HG_MIDDLE_ROWS(run, P)                                                               \
      HG_HIGH_ROWS(run, P)                                                                 \
    }                                                                                      \
  }
#if HG_BLOCK_PANELS >= 3
#define HG_DEFINE_BLOCKS(name, block, run)                                                 \
  HG_DEFINE_ROWS(name##_1, block, run, 1)                                                  \
  HG_DEFINE_ROWS(name##_2, block, run, 2)                                                  \
  HG_DEFINE_ROWS(name##_3, block, run, 3)                                                  \
  HG_INLINE void name##_dispatch(const block *b, int rows, int panels) {                   \
    if (panels == 3) HG_NAME(name##_3)(b, rows);                                           \
    else if (panels == 2) HG_NAME(name##_2)(b, rows);                                      \
    else HG_NAME(name##_1)(b, rows);                                                       \
  }
#else
#define HG_DEFINE_BLOCKS(name, block, run)                                                 \
  HG_DEFINE_ROWS(name##_1, block, run, 1)                                                  \
  HG_INLINE void name##_dispatch(const block *b, int rows, int panels) {                   \
    (void)panels;                                                                          \
    HG_NAME(name##_1)(b, rows);                                                            \
  }
#endif

// How many panels to take next of those left: full blocks, and no lone panel where two pairs will do.
HG_INLINE int hg_next_panels(int left) {
  if (HG_BLOCK_PANELS == 3 && left == 4) return 2;
  return left < HG_BLOCK_PANELS ? left : HG_BLOCK_PANELS;
}
// How many rows to take next: blocks of nearly equal height.
HG_INLINE int hg_next_rows(int64_t left) {
  const int64_t blocks = (left + HG_BLOCK_ROWS - 1) / HG_BLOCK_ROWS;
  return (int)((left + blocks - 1) / blocks);
}
HG_INLINE int hg_min(int64_t a, int64_t b) { return (int)(a < b ? a : b); }
// The same where the last panel may be half empty, which is then left for a block of its own.
HG_INLINE int hg_next_panels_of(int left, int columns) {
  const int is_half = columns % HG_PANEL && columns % HG_PANEL <= HG_HALF;
  return left > 1 && is_half ? hg_next_panels(left - 1) : hg_next_panels(left);
}

