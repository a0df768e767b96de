// `import HGNetTraining` is enough for a program that trains.
@_exported import HGNet
