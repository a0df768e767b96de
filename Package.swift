// swift-tools-version: 6.2
import PackageDescription

let serving = TargetDependencyCondition.when(traits: ["Serving"])
let servingProducts: [Target.Dependency] = [
  .product(name: "HummingbirdCore", package: "hummingbird", condition: serving),
  .product(name: "HummingbirdTLS", package: "hummingbird", condition: serving),
  .product(name: "GRPCCore", package: "grpc-swift-2", condition: serving),
  .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport", condition: serving),
  .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf", condition: serving),
  .product(name: "SwiftProtobuf", package: "swift-protobuf", condition: serving),
  .product(name: "NIOCore", package: "swift-nio", condition: serving),
  .product(name: "NIOSSL", package: "swift-nio-ssl", condition: serving),
  .product(name: "Logging", package: "swift-log", condition: serving),
  .product(name: "CoreMetrics", package: "swift-metrics", condition: serving),
  .product(name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: serving),
]

// Floors (Documentation/Design.md): a target imports only from floors below its own. Scripts/check enforces it.
let package = Package(
  name: "swift-hgnet",
  products: [
    .library(
      name: "HGNet",
      targets: [
        "HGNet", "HGNetCore", "HGNetModels", "HGNetProgram", "HGNetCPU", "HGNetGPU", "HGNetReference", "HGNetFormats",
        "HGNetVision", "HGNetConfiguration", "HGNetBatching",
      ]),
    // Training and export from Swift; a program that only classifies does not need it.
    .library(name: "HGNetTraining", targets: ["HGNetTraining", "HGNetConfiguration", "HGNetExport"]),
    .executable(name: "hgnet", targets: ["hgnet"]),
    // `make install` makes libhgnet.a and libhgnet.so of it, with the Swift runtime inside.
    .library(name: "hgnet-c", type: .static, targets: ["HGNetC"]),
  ],
  traits: [
    .trait(
      name: "MPI", description: "Training, evaluation and prediction by several processes: mpirun -n 2 hgnet train …"),
    // `hgnet serve`. Off, so that whoever depends on the library neither fetches nor builds SwiftNIO.
    .trait(name: "Serving", description: "hgnet serve: HTTP, gRPC and bRPC."),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // Used with the trait Serving only.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // Floor 0: C, and the system's C library.
    .target(name: "CHGNetKernels", exclude: ["README.md"]),
    .target(
      name: "CHGNetSystem", exclude: ["README.md"],
      linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png"), .linkedLibrary("webp"), .linkedLibrary("z")]),
    .target(name: "CHGNet", exclude: ["README.md"]),
    // Finds Vulkan's library at run time; nothing is linked.
    .target(name: "CHGNetVulkan", exclude: ["README.md"]),
    .target(name: "HGNetPlatform", exclude: ["README.md"]),
    .systemLibrary(name: "CHGNetMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    // Floor 1.
    .target(name: "HGNetCore", dependencies: ["HGNetPlatform", "CHGNetSystem"], exclude: ["README.md"]),
    // Floor 2.
    .target(name: "HGNetModels", dependencies: ["HGNetCore"], exclude: ["README.md"]),
    .target(name: "HGNetProgram", dependencies: ["HGNetCore"], exclude: ["README.md"]),
    .target(
      name: "HGNetFormats",
      dependencies: ["HGNetPlatform", "HGNetCore", "CHGNetSystem"], exclude: ["README.md"]),
    .target(
      name: "HGNetVision", dependencies: ["HGNetPlatform", "HGNetCore", "CHGNetKernels", "CHGNetSystem"],
      exclude: ["README.md"]),
    // Floor 3.
    .target(
      name: "HGNetCPU", dependencies: ["HGNetPlatform", "HGNetCore", "HGNetProgram", "CHGNetKernels"],
      exclude: ["README.md"]),
    .target(
      name: "HGNetGPU", dependencies: ["HGNetPlatform", "HGNetCore", "HGNetProgram", "CHGNetVulkan"],
      exclude: ["README.md"]),
    .target(
      name: "HGNetReference", dependencies: ["HGNetPlatform", "HGNetCore", "HGNetProgram"], exclude: ["README.md"]),
    .target(
      name: "HGNetConfiguration", dependencies: ["HGNetCore", "HGNetModels", "HGNetVision"], exclude: ["README.md"]),
    // Floor 4.
    .target(
      name: "HGNet",
      dependencies: [
        "HGNetPlatform", "HGNetCore", "HGNetModels", "HGNetProgram", "HGNetCPU", "HGNetGPU", "HGNetReference",
        "HGNetFormats", "HGNetVision", "HGNetConfiguration",
      ],
      exclude: ["README.md"]),
    // Floor 5.
    .target(
      name: "HGNetBatching", dependencies: ["HGNetCore", "HGNetVision", "HGNet"], exclude: ["README.md"]),
    .target(
      name: "HGNetDownload",
      dependencies: ["CHGNetSystem", "HGNetPlatform", "HGNetCore", "HGNetModels", "HGNetFormats", "HGNet"],
      exclude: ["README.md"]),
    .target(
      name: "HGNetExport",
      dependencies: [
        "HGNetPlatform", "HGNetCore", "HGNetModels", "HGNetProgram", "HGNetFormats", "HGNetVision", "HGNet",
      ],
      exclude: ["README.md"]),
    // Floor 6.
    .target(
      name: "HGNetTraining",
      dependencies: [
        "HGNetPlatform", "HGNetCore", "HGNetModels", "HGNetProgram", "HGNetFormats",
        "HGNetVision",
        "HGNet", "HGNetConfiguration", "HGNetDownload", .target(name: "CHGNetMPI", condition: .when(traits: ["MPI"])),
      ],
      exclude: ["README.md"]),
    .target(
      name: "HGNetC",
      dependencies: [
        "CHGNet", "HGNetCore", "HGNetModels", "HGNetVision", "HGNet", "HGNetConfiguration", "HGNetDownload",
      ],
      exclude: ["README.md"]),
    .target(
      name: "HGNetServing",
      dependencies: [
        "HGNetCore", "HGNetModels", "HGNetProgram", "HGNetFormats", "HGNetVision", "HGNet",
        "HGNetConfiguration", "HGNetBatching",
      ] + servingProducts,
      exclude: ["README.md", "Protocols/open_inference.proto", "Protocols/paddle_serving.proto"],
      resources: [
        .embedInCode("Page/page.html"), .embedInCode("Page/page.css"), .embedInCode("Page/page.js"),
      ]),
    // Floor 7: the tool.
    .executableTarget(
      name: "hgnet",
      dependencies: [
        "HGNetPlatform", "HGNetCore", "HGNetModels", "HGNetProgram", "HGNetCPU", "HGNetFormats", "HGNetVision", "HGNet",
        "HGNetConfiguration", "HGNetDownload", "HGNetExport", "HGNetTraining",
        .target(name: "HGNetServing", condition: serving),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      exclude: ["README.md"]),
    // Readers on damaged inputs: Scripts/fuzz.
    .executableTarget(
      name: "hgnet-fuzz",
      dependencies: [
        "HGNetPlatform", "HGNetCore", "HGNetFormats", "HGNetVision", "HGNet", "HGNetConfiguration", "HGNetServing",
      ],
      path: "Fuzz", exclude: ["README.md", "Seeds"]),
    // Tests mirror Sources.
    .testTarget(name: "HGNetCoreTests", dependencies: ["HGNetPlatform", "HGNetCore"]),
    .testTarget(name: "HGNetModelsTests", dependencies: ["HGNetModels", "HGNetCore"]),
    .testTarget(name: "HGNetProgramTests", dependencies: ["HGNetProgram", "HGNetModels", "HGNetCore"]),
    .testTarget(
      name: "HGNetCPUTests",
      dependencies: ["HGNetProgram", "HGNetCPU", "HGNetModels", "HGNetCore", "CHGNetKernels", "CAllocationCounter"]),
    // Every engine behind the contract, judged by the reference.
    .testTarget(
      name: "EngineTests",
      dependencies: [
        "HGNetPlatform", "HGNetProgram", "HGNetCPU", "HGNetGPU", "HGNetReference", "HGNetModels", "HGNetCore",
      ]),
    .testTarget(
      name: "HGNetGPUTests",
      dependencies: [
        "HGNetPlatform", "HGNetProgram", "HGNetGPU", "CHGNetVulkan", "HGNetCPU", "HGNetModels", "HGNetCore",
      ]),
    .testTarget(name: "HGNetFormatsTests", dependencies: ["HGNetPlatform", "HGNetFormats", "HGNetCore"]),
    .testTarget(name: "HGNetVisionTests", dependencies: ["HGNetVision", "HGNetCore", "CHGNetKernels"]),
    .testTarget(
      name: "HGNetTests",
      dependencies: [
        "HGNetPlatform", "HGNet", "HGNetCPU", "HGNetProgram", "HGNetModels", "HGNetFormats", "HGNetVision", "HGNetCore",
        "TemporaryFolders",
      ]),
    .testTarget(
      name: "HGNetBatchingTests",
      dependencies: [
        "HGNetBatching", "HGNet", "HGNetFormats", "HGNetVision", "HGNetModels", "HGNetCore", "TemporaryFolders",
      ]),
    .testTarget(
      name: "HGNetConfigurationTests", dependencies: ["HGNetConfiguration", "HGNet", "HGNetVision", "HGNetCore"]),
    .testTarget(
      name: "HGNetDownloadTests", dependencies: ["HGNetDownload", "HGNet", "HGNetModels", "HGNetFormats", "HGNetCore"]),
    .testTarget(
      name: "HGNetExportTests",
      dependencies: [
        "HGNetExport", "HGNet", "HGNetModels", "HGNetFormats", "HGNetVision", "HGNetCore", "TemporaryFolders",
      ]),
    .testTarget(
      name: "HGNetTrainingTests",
      dependencies: [
        "HGNetTraining", "HGNetConfiguration", "HGNet", "HGNetProgram", "HGNetCPU", "HGNetFormats", "HGNetVision",
        "HGNetModels", "HGNetReference",
        "HGNetCore",
      ]),
    .testTarget(
      name: "HGNetServingTests",
      dependencies: [
        "HGNetServing", "HGNet", "HGNetModels", "HGNetFormats", "HGNetVision", "HGNetCore", "TemporaryFolders",
        .product(name: "Metrics", package: "swift-metrics", condition: serving),
        .product(name: "GRPCCore", package: "grpc-swift-2", condition: serving),
        .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport", condition: serving),
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
        "HGNetExport", "HGNetBatching", "TemporaryFolders",
      ], exclude: ["README.md"]),
    .testTarget(
      name: "BitTests",
      dependencies: [
        "HGNetPlatform", "HGNetTraining", "HGNet", "HGNetProgram", "HGNetCPU", "HGNetModels", "HGNetCore",
      ],
      exclude: ["x86-64.txt"]),
    .target(name: "TemporaryFolders", path: "Tests/TemporaryFolders"),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
