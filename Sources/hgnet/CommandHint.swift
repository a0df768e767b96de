import HGNetConfiguration
import HGNetCore
import HGNetPlatform

/// What somebody meant who has typed a command of PaddleClas, or misspelt one of ours.
enum CommandHint {
  /// PaddleClas' programs and the commands that do their work.
  private static let programs = [
    "train.py": "train", "eval.py": "eval", "infer.py": "infer", "export_model.py": "export",
    "predict_cls.py": "predict", "predict.py": "predict",
  ]
  /// Words that other tools have for commands of ours.
  private static let words = [
    "fit": "train", "finetune": "train", "fine-tune": "train", "training": "train", "evaluate": "eval", "test": "eval",
    "val": "eval", "validate": "eval", "classify": "predict", "inference": "infer", "benchmark": "bench",
    "server": "serve", "info": "summary", "pip": "help",
  ]
  private static let launchers = ["paddle.distributed.launch", "torch.distributed.launch", "torch.distributed.run"]
  private static let devices = ["--gpus", "--gpu", "--selected_gpus", "--devices", "--xpus", "--nproc_per_node"]

  /// One line about arguments that cannot be understood; nil where the parser shall look at them.
  static func line(for arguments: [String], commands: [String]) -> String? {
    let program = arguments.lazy.compactMap { programs[name(of: $0)] }.first
    if let launcher = arguments.first(where: launchers.contains) {
      return "\(HGNetError.quoted(launcher)) is Python's; start several processes with "
        + "\"mpirun -n N hgnet \(program ?? "train") …\", in a build with the trait MPI (Documentation/Clusters.md)"
    }
    guard let first = arguments.first else { return nil }
    if let device = arguments.first(where: { argument in
      devices.contains { argument == $0 || argument.hasPrefix($0 + "=") }
    }) {
      return
        "unknown option \(HGNetError.quoted(device)): computing is on the processor; leave it out, or start several "
        + "processes with \"mpirun -n N hgnet \(commands.contains(first) ? first : program ?? "train") …\""
    }
    guard !first.hasPrefix("-"), !commands.contains(first), first != "help" else { return nil }
    if let command = programs[name(of: first)] {
      return "\(HGNetError.quoted(first)) is PaddleClas' program; did you mean \"hgnet \(command)\"? "
        + "-c and -o mean the same"
    }
    let known = "one of \(commands.joined(separator: ", "))"
    if let command = words[first.lowercased()] ?? NearestName.find(first, among: commands) {
      return "expected a command, found \(HGNetError.quoted(first)); did you mean \"\(command)\"?"
    }
    if access(first, F_OK) == 0 {
      return "expected a command, found the path \(HGNetError.quoted(first)); did you mean "
        + "\"hgnet predict \(HGNetError.shortened(first))\"?"
    }
    return "expected \(known); found \(HGNetError.quoted(first))"
  }

  private static func name(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }
}
