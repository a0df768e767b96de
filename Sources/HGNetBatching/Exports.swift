// `import HGNetBatching` is enough for a program with tasks.
@_exported import HGNet
