// Inline functions over mpi.h; see README.md. The library ends the job on errors.
#pragma once

#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
  MPI_Comm value;
} hg_mpi_ranks;

// Starts the library; 0 where it does not let several threads speak at once.
static inline int32_t hg_mpi_start(void) {
  // Open MPI's own choice for sums in place sends twice as much and does it one after the other; the user's stands.
  setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "rabenseifner", 0);
  int provided = 0;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
  return provided == MPI_THREAD_MULTIPLE;
}

static inline void hg_mpi_end(void) { MPI_Finalize(); }

static inline hg_mpi_ranks hg_mpi_world(void) { return (hg_mpi_ranks){MPI_COMM_WORLD}; }

static inline hg_mpi_ranks hg_mpi_duplicate(hg_mpi_ranks ranks) {
  hg_mpi_ranks result = {MPI_COMM_NULL};
  MPI_Comm_dup(ranks.value, &result.value);
  return result;
}

static inline int32_t hg_mpi_rank(hg_mpi_ranks ranks) {
  int rank = 0;
  MPI_Comm_rank(ranks.value, &rank);
  return rank;
}

static inline int32_t hg_mpi_count(hg_mpi_ranks ranks) {
  int count = 1;
  MPI_Comm_size(ranks.value, &count);
  return count;
}

// Waits for a request: looks again at once `looks` times, then sleeps `nanoseconds` between two looks.
static inline void hg_mpi_wait(MPI_Request *request, int32_t looks, int32_t nanoseconds) {
  const struct timespec pause = {0, nanoseconds};
  int isDone = 0;
  for (int32_t look = 0;; look++) {
    MPI_Test(request, &isDone, MPI_STATUS_IGNORE);
    if (isDone) return;
    if (look >= looks) nanosleep(&pause, NULL);
  }
}

enum { HG_MPI_PART = 1 << 26 };

static inline void hg_mpi_sum_by(hg_mpi_ranks ranks, void *_Nonnull values, int64_t count, MPI_Datatype type,
                                 int64_t size, MPI_Op operation, int32_t looks, int32_t nanoseconds) {
  for (int64_t start = 0; start < count; start += HG_MPI_PART) {
    const int64_t length = count - start < HG_MPI_PART ? count - start : HG_MPI_PART;
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, (char *)values + start * size, (int)length, type, operation, ranks.value, &request);
    hg_mpi_wait(&request, looks, nanoseconds);
  }
}

static inline void hg_mpi_sum(hg_mpi_ranks ranks, void *_Nonnull values, int64_t count, MPI_Datatype type,
                              int64_t size, int32_t looks, int32_t nanoseconds) {
  hg_mpi_sum_by(ranks, values, count, type, size, MPI_SUM, looks, nanoseconds);
}

// The sum of values in bfloat16, rounded to nearest, ties to even; a NaN stays one.
static inline void hg_mpi_add_halves(void *_Nonnull from, void *_Nonnull to, int *_Nonnull count,
                                     MPI_Datatype *_Nonnull type) {
  (void)type;
  const uint16_t *one = (const uint16_t *)from;
  uint16_t *other = (uint16_t *)to;
  for (int i = 0; i < *count; i++) {
    union { uint32_t bits; float value; } a = {(uint32_t)one[i] << 16}, b = {(uint32_t)other[i] << 16};
    b.value += a.value;
    const uint32_t rounded = b.bits + 0x7fff + (b.bits >> 16 & 1);
    other[i] = (uint16_t)((b.value == b.value ? rounded : b.bits | 0x400000) >> 16);
  }
}

// Gradients in bfloat16.
static inline void hg_mpi_sum_halves(hg_mpi_ranks ranks, uint16_t *_Nonnull values, int64_t count) {
  MPI_Op operation;
  MPI_Op_create(hg_mpi_add_halves, 1, &operation);
  hg_mpi_sum_by(ranks, values, count, MPI_UINT16_T, sizeof *values, operation, 20, 50000);
  MPI_Op_free(&operation);
}

// Gradients: many, beside arithmetic that needs the processor more.
static inline void hg_mpi_sum_floats(hg_mpi_ranks ranks, float *_Nonnull values, int64_t count) {
  hg_mpi_sum(ranks, values, count, MPI_FLOAT, sizeof *values, 20, 50000);
}

// Statistics, losses, wishes to stop: few, and all wait for them.
static inline void hg_mpi_sum_doubles(hg_mpi_ranks ranks, double *_Nonnull values, int64_t count) {
  hg_mpi_sum(ranks, values, count, MPI_DOUBLE, sizeof *values, 1000, 20000);
}

// Bytes of rank 0 to all.
static inline void hg_mpi_broadcast(hg_mpi_ranks ranks, void *_Nullable bytes, int64_t count) {
  for (int64_t start = 0; start < count; start += HG_MPI_PART) {
    const int64_t length = count - start < HG_MPI_PART ? count - start : HG_MPI_PART;
    MPI_Request request;
    MPI_Ibcast((char *)bytes + start, (int)length, MPI_BYTE, 0, ranks.value, &request);
    hg_mpi_wait(&request, 1000, 20000);
  }
}

// The number of each rank to rank 0.
static inline void hg_mpi_gather_count(hg_mpi_ranks ranks, int64_t count, int64_t *_Nullable counts) {
  MPI_Request request;
  MPI_Igather(&count, 1, MPI_INT64_T, counts, 1, MPI_INT64_T, 0, ranks.value, &request);
  hg_mpi_wait(&request, 1000, 20000);
}

static inline void hg_mpi_send(hg_mpi_ranks ranks, const void *_Nullable bytes, int64_t count) {
  MPI_Request request;
  MPI_Isend(bytes, (int)count, MPI_BYTE, 0, 0, ranks.value, &request);
  hg_mpi_wait(&request, 1000, 20000);
}

static inline void hg_mpi_receive(hg_mpi_ranks ranks, int32_t from, void *_Nullable bytes, int64_t count) {
  MPI_Request request;
  MPI_Irecv(bytes, (int)count, MPI_BYTE, from, 0, ranks.value, &request);
  hg_mpi_wait(&request, 1000, 20000);
}

static inline void hg_mpi_barrier(hg_mpi_ranks ranks) {
  MPI_Request request;
  MPI_Ibarrier(ranks.value, &request);
  hg_mpi_wait(&request, 1000, 1000000);
}

static inline void hg_mpi_abort(hg_mpi_ranks ranks, int32_t status) { MPI_Abort(ranks.value, status); }
