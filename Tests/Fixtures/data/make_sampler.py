"""The order of samples as PaddlePaddle draws it: python make_sampler.py > sampler.txt"""

from paddle.io import DistributedBatchSampler


class Samples:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count


print("# samples batch ranks rank shuffle drop_last epoch: batches")
for count, batch, ranks, epoch in [
    (10, 3, 1, 0), (10, 3, 1, 1), (7, 2, 2, 0), (7, 2, 2, 1), (23, 4, 3, 0), (1, 4, 3, 0), (100, 7, 4, 2),
]:
    for shuffle in (0, 1):
        for drop_last in (0, 1):
            for rank in range(ranks):
                sampler = DistributedBatchSampler(
                    Samples(count), batch, num_replicas=ranks, rank=rank,
                    shuffle=bool(shuffle), drop_last=bool(drop_last))
                sampler.set_epoch(epoch)
                batches = list(sampler)
                assert len(batches) == len(sampler)
                print(count, batch, ranks, rank, shuffle, drop_last, epoch, end=":")
                print("|".join(" " + " ".join(map(str, indices)) for indices in batches))
