// hgnet-fuzz: runs the readers of the package on damaged inputs for a while; see Fuzz/README.md.

import HGNetCore
import HGNetPlatform
import HGNetServing

var seconds = 10.0
var seed: UInt64 = 1
var names: [String] = []
var inputs: [String] = []
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
  switch argument {
  case "--list":
    for target in FuzzTarget.all { print(target.name) }
    exit(0)
  case "--seconds": seconds = arguments.popFirst().flatMap { Double($0) } ?? seconds
  case "--seed": seed = arguments.popFirst().flatMap { UInt64($0) } ?? seed
  case "--input": inputs += arguments.popFirst().map { [$0] } ?? []
  default: names.append(argument)
  }
}
guard names.count == 1, let target = FuzzTarget.all.first(where: { $0.name == names[0] }) else {
  FuzzRun.say("usage: hgnet-fuzz --list | [--seconds N] [--seed N] [--input FILE]… TARGET")
  exit(64)
}
exit(FuzzRun(target: target, seconds: seconds, seed: seed).run(inputs: inputs) ? 0 : 1)
