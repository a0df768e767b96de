import ArgumentParser

/// The command-line tool.
@main
struct Tool: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hgnet", abstract: "PP-HGNetV2 image classifiers: classify, inspect, measure.", subcommands: [])
}
