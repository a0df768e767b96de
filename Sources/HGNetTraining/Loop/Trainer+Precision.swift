import HGNet
import HGNetCore

extension Trainer {
  /// The key in a checkpoint that holds the level of mixed precision: 1 or 2, none for float32.
  private static let level = "mixed precision"

  /// The precision at which all ranks train: in float32 where one of them does.
  ///
  /// - Throws: as `TrainingConfiguration.trainingPrecision(on:)` and the ranks' sums; `HGNetError.Code.invalidArgument` where
  ///   only some of them train on a GPU.
  static func precision(
    _ configuration: TrainingConfiguration, device: Device, communicator: any Communicator
  ) throws(HGNetError) -> TrainingPrecision {
    let own = try configuration.trainingPrecision(on: device)
    let sums = try communicator.sums(of: [own.level == nil ? 0 : 1, device.kind == .gpu ? 1 : 0])
    let (count, gpus) = (sums[0], Int(sums[1]))
    guard gpus == 0 || gpus == communicator.rankCount else {
      throw HGNetError(
        .invalidArgument,
        "expected all ranks to train on devices of one kind, found \(gpus) of \(communicator.rankCount) on a GPU; name it with "
          + "--device")
    }
    guard own.level != nil, Int(count) < communicator.rankCount else { return own }
    return TrainingPrecision(
      notice: "AMP: training stays in float32, with which another rank is quicker than with bfloat16")
  }

  /// Notes the precision in the progress of a run; a line where a checkpoint of another one goes on.
  func notePrecision(in progress: inout TrainingProgress, isResumed: Bool) -> String? {
    let numbers: [MixedPrecision?: Double] = [.o1: 1, .o2: 2]
    let before = progress.values[Self.level]
    progress.values[Self.level] = numbers[precision.level]
    guard isResumed, before != numbers[precision.level] else { return nil }
    let earlier = MixedPrecision.allCases.first { numbers[$0] == before }
    return "the checkpoint is of a run in \(Self.title(earlier)); it goes on in \(Self.title(precision.level))"
  }

  private static func title(_ level: MixedPrecision?) -> String {
    level.map { "mixed precision (\($0.rawValue))" } ?? "float32"
  }
}
