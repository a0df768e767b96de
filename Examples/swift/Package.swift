// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "classify",
  dependencies: [.package(name: "swift-hgnet", path: "../..")],
  targets: [
    .executableTarget(name: "classify", dependencies: [.product(name: "HGNet", package: "swift-hgnet")])
  ]
)
