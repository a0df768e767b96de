// Counts the allocations of each thread by standing in front of the C library's allocator (glibc only).
#pragma once

#include <stdint.h>

// Allocations that the calling thread has made so far; -1 where they cannot be counted.
int64_t allocation_count(void);
