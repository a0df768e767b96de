// Whether this process is the child of one that used the library: only the thread that called fork goes on in it.
#pragma once

#include <stdint.h>

// The number of forks between the process that first asked and this one. Costs one load.
uint32_t hg_fork_count(void);

// Begins to count; call it once before something is kept that a child must not use as it is.
void hg_fork_watch(void);

