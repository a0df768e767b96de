// swift-tools-version: 6.2
import PackageDescription

// Floors (Documentation/Design.md): a target imports only from floors below its own. Scripts/check enforces it.
let package = Package(
  name: "swift-hgnet",
  products: [
    .library(
      name: "HGNet", targets: ["HGNet", "HGNetCore", "HGNetModels", "HGNetEngine", "HGNetFormats", "HGNetVision"]),
    // Training and export from Swift; a program that only classifies does not need it.
    .library(name: "HGNetTraining", targets: ["HGNetTraining", "HGNetConfiguration", "HGNetExport"]),
    .executable(name: "hgnet", targets: ["hgnet"]),
    // `make install` makes libhgnet.a and libhgnet.so of it, with the Swift runtime inside.
    .library(name: "hgnet-c", type: .static, targets: ["HGNetC"]),
  ],
  traits: [
    .trait(
      name: "MPI", description: "Training, evaluation and prediction by several processes: mpirun -n 2 hgnet train …")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // Floor 0: C.
    .target(name: "CHGNetKernels", exclude: ["README.md"]),
    .target(
      name: "CHGNetSystem", exclude: ["README.md"],
      linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png"), .linkedLibrary("webp"), .linkedLibrary("z")]),
    .target(name: "CHGNet", exclude: ["README.md"]),
    .systemLibrary(name: "CHGNetMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    // Floor 1.
    .target(name: "HGNetCore", dependencies: ["CHGNetSystem"], exclude: ["README.md"]),
    // Floor 2.
    .target(name: "HGNetModels", dependencies: ["HGNetCore"], exclude: ["README.md"]),
    .target(name: "HGNetEngine", dependencies: ["HGNetCore", "CHGNetKernels"], exclude: ["README.md"]),
    .target(
      name: "HGNetFormats",
      dependencies: ["HGNetCore", "CHGNetSystem"], exclude: ["README.md"]),
    .target(
      name: "HGNetVision", dependencies: ["HGNetCore", "CHGNetKernels", "CHGNetSystem"], exclude: ["README.md"]),
    // Floor 3.
    .target(
      name: "HGNet", dependencies: ["HGNetCore", "HGNetModels", "HGNetEngine", "HGNetFormats", "HGNetVision"],
      exclude: ["README.md"]),
    // Floor 4.
    .target(
      name: "HGNetConfiguration",
      dependencies: ["HGNetCore", "HGNetModels", "HGNetVision", "HGNet"],
      exclude: ["README.md"]),
    .target(
      name: "HGNetDownload", dependencies: ["HGNetCore", "HGNetModels", "HGNetFormats", "HGNet"],
      exclude: ["README.md"]),
    .target(
      name: "HGNetExport",
      dependencies: ["HGNetCore", "HGNetModels", "HGNetEngine", "HGNetFormats", "HGNetVision", "HGNet"],
      exclude: ["README.md"]),
    // Floor 5.
    .target(
      name: "HGNetTraining",
      dependencies: [
        "CHGNetKernels", "HGNetCore", "HGNetModels", "HGNetEngine", "HGNetFormats", "HGNetVision", "HGNet",
        "HGNetConfiguration", .target(name: "CHGNetMPI", condition: .when(traits: ["MPI"])),
      ],
      exclude: ["README.md"]),
    .target(
      name: "HGNetC",
      dependencies: [
        "CHGNet", "HGNetCore", "HGNetModels", "HGNetEngine", "HGNetVision", "HGNet", "HGNetConfiguration",
      ],
      exclude: ["README.md"]),
    // Floor 6: the tool.
    .executableTarget(
      name: "hgnet",
      dependencies: [
        "HGNetCore", "HGNetModels", "HGNetEngine", "HGNetFormats", "HGNetVision", "HGNet", "HGNetConfiguration",
        "HGNetDownload", "HGNetExport", "HGNetTraining",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      exclude: ["README.md"]),
    // Tests mirror Sources.
    .testTarget(name: "HGNetCoreTests", dependencies: ["HGNetCore"]),
    .testTarget(name: "HGNetModelsTests", dependencies: ["HGNetModels", "HGNetCore"]),
    .testTarget(
      name: "HGNetEngineTests",
      dependencies: ["HGNetEngine", "HGNetModels", "HGNetCore", "CHGNetKernels", "CAllocationCounter"]),
    .testTarget(name: "HGNetFormatsTests", dependencies: ["HGNetFormats", "HGNetCore"]),
    .testTarget(name: "HGNetVisionTests", dependencies: ["HGNetVision", "HGNetCore", "CHGNetKernels"]),
    .testTarget(
      name: "HGNetTests", dependencies: ["HGNet", "HGNetModels", "HGNetFormats", "HGNetVision", "HGNetCore"]),
    .testTarget(
      name: "HGNetConfigurationTests", dependencies: ["HGNetConfiguration", "HGNet", "HGNetVision", "HGNetCore"]),
    .testTarget(
      name: "HGNetDownloadTests", dependencies: ["HGNetDownload", "HGNet", "HGNetModels", "HGNetFormats", "HGNetCore"]),
    .testTarget(
      name: "HGNetExportTests",
      dependencies: ["HGNetExport", "HGNet", "HGNetModels", "HGNetEngine", "HGNetFormats", "HGNetVision", "HGNetCore"]),
    .testTarget(
      name: "HGNetTrainingTests",
      dependencies: [
        "HGNetTraining", "HGNetConfiguration", "HGNet", "HGNetEngine", "HGNetFormats", "HGNetVision", "HGNetModels",
        "HGNetCore",
      ]),
    .testTarget(
      name: "ToolTests",
      dependencies: [
        "HGNetCore", "HGNetModels", "HGNetFormats", "HGNetVision", "HGNet", "HGNetConfiguration", "HGNetTraining",
      ]),
    .testTarget(
      name: "DocumentationTests",
      dependencies: [
        "HGNet", "HGNetCore", "HGNetModels", "HGNetVision", "HGNetFormats", "HGNetConfiguration", "HGNetTraining",
        "HGNetExport",
      ], exclude: ["README.md"]),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
