// Times messages between two ranks and sums over all, with the calls that training makes; see `cost`.
// Prints lines: KIND BYTES SECONDS.
#include <stdio.h>
#include <string.h>

#include "CHGNetMPI.h"

enum { ROUNDS = 7, LARGEST = 8 << 20 };
static float values[LARGEST / 4 * 3];

static double median(double *times) {
  for (int i = 1; i < ROUNDS; i++)
    for (int j = i; j > 0 && times[j - 1] > times[j]; j--) {
      const double t = times[j];
      times[j] = times[j - 1], times[j - 1] = t;
    }
  return times[ROUNDS / 2];
}

int main(void) {
  if (!hg_mpi_start()) return 1;
  const hg_mpi_ranks world = hg_mpi_world();
  const int rank = hg_mpi_rank(world);
  double times[ROUNDS];
  // There and back, from rank 0 to rank 1: half of it is a message.
  const int sizes[] = {8, 1 << 20, LARGEST};
  for (int s = 0; s < 3; s++) {
    for (int round = 0; round < ROUNDS; round++) {
      hg_mpi_barrier(world);
      const double start = MPI_Wtime();
      if (rank == 0) {
        MPI_Send(values, sizes[s], MPI_BYTE, 1, 1, world.value);
        MPI_Recv(values, sizes[s], MPI_BYTE, 1, 1, world.value, MPI_STATUS_IGNORE);
      } else if (rank == 1) {
        MPI_Recv(values, sizes[s], MPI_BYTE, 0, 1, world.value, MPI_STATUS_IGNORE);
        MPI_Send(values, sizes[s], MPI_BYTE, 0, 1, world.value);
      }
      times[round] = (MPI_Wtime() - start) / 2;
    }
    if (rank == 0) printf("message %d %.9f\n", sizes[s], median(times));
  }
  // What adding costs without a network.
  for (int round = 0; round < ROUNDS; round++) {
    const double start = MPI_Wtime();
    MPI_Reduce_local(values, values + LARGEST / 4, LARGEST / 4, MPI_FLOAT, MPI_SUM);
    times[round] = MPI_Wtime() - start;
  }
  if (rank == 0) printf("addition %d %.9f\n", LARGEST, median(times));
  for (int bytes = 1 << 16; bytes <= LARGEST; bytes <<= 1) {
    for (int round = 0; round < ROUNDS; round++) {
      hg_mpi_barrier(world);
      const double start = MPI_Wtime();
      hg_mpi_sum_floats(world, values, bytes / 4);
      times[round] = MPI_Wtime() - start;
    }
    if (rank == 0) printf("sum %d %.9f\n", bytes, median(times));
  }
  for (int count = 64; count <= 4096; count *= 8) {
    for (int round = 0; round < ROUNDS; round++) {
      hg_mpi_barrier(world);
      const double start = MPI_Wtime();
      hg_mpi_sum_doubles(world, (double *)values, count);
      times[round] = MPI_Wtime() - start;
    }
    if (rank == 0) printf("statistics %d %.9f\n", count * 8, median(times));
  }
  hg_mpi_end();
  return 0;
}
