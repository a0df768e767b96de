// Times messages between two ranks and sums over all, with the calls that training makes; see `cost`.
// Prints lines: KIND BYTES SECONDS.
#include <stdio.h>

#include "CHGNetMPI.h"

enum { ROUNDS = 9, LARGEST = 8 << 20 };
static float values[LARGEST / 4 * 3];

// The shortest: what disturbs on a machine in use only ever adds.
static double best(const double *times) {
  double result = times[0];
  for (int i = 1; i < ROUNDS; i++)
    if (times[i] < result) result = times[i];
  return result;
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
    if (rank == 0) printf("message %d %.9f\n", sizes[s], best(times));
  }
  // What adding costs without a network.
  for (int round = 0; round < ROUNDS; round++) {
    const double start = MPI_Wtime();
    MPI_Reduce_local(values, values + LARGEST / 4, LARGEST / 4, MPI_FLOAT, MPI_SUM);
    times[round] = MPI_Wtime() - start;
  }
  if (rank == 0) printf("addition %d %.9f\n", LARGEST, best(times));
  for (int bytes = 1 << 19; bytes <= LARGEST; bytes <<= 1) {
    for (int round = 0; round < ROUNDS; round++) {
      hg_mpi_barrier(world);
      const double start = MPI_Wtime();
      hg_mpi_sum_floats(world, values, bytes / 4);
      times[round] = MPI_Wtime() - start;
    }
    if (rank == 0) printf("sum %d %.9f\n", bytes, best(times));
  }
  for (int count = 64; count <= 4096; count *= 8) {
    for (int round = 0; round < ROUNDS; round++) {
      hg_mpi_barrier(world);
      const double start = MPI_Wtime();
      hg_mpi_sum_doubles(world, (double *)values, count);
      times[round] = MPI_Wtime() - start;
    }
    if (rank == 0) printf("statistics %d %.9f\n", count * 8, best(times));
  }
  hg_mpi_end();
  return 0;
}
